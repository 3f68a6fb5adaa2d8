/// ClientNode: a simulated client host; its workers read and write volumes at random and record
/// all of it in a History.
/// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/volume.h"
#include "io/sync.h"
#include "sim/check/history.h"
#include "sim/cluster/plan.h"
#include "sim/io/world.h"
#include "wire/chunk.pb.h"
#include "wire/mds.pb.h"

namespace cairn::sim {

std::string volume_name(uint32_t number);
/// By what unit a volume's operations are aligned and checked.
uint64_t unit_of_volume(uint32_t number);

class ClientNode {
 public:
  /// `number` from 1.
  ClientNode(Host& host, uint32_t number, const Plan& plan, std::vector<io::Address> mds,
             History& history);
  ~ClientNode();
  ClientNode(const ClientNode&) = delete;
  ClientNode& operator=(const ClientNode&) = delete;

  Host& host() { return host_; }
  client::Cluster& cluster() { return *cluster_; }

  /// Creates the volumes, unless another client has.
  io::Task<Status> create_volumes();
  io::Task<Status> open_volumes();
  /// Starts the workers, who go on until stop() and end their operations.
  void begin();
  void stop() { is_stopping_ = true; }
  size_t workers_count() const { return workers_count_; }
  uint64_t ops_count() const { return ops_count_; }
  uint64_t failed_ops_count() const { return failed_ops_count_; }

  /// Writes and reads back one unit of every chunk of every volume; all have to succeed.
  io::Task<Status> prove_service();
  /// Reads every volume whole into the history.
  io::Task<Status> read_all();

  /// The operations under way, for the report of one that does not end.
  std::string describe_pending() const;

  /// An error that no fault of the plan explains (corruption, a refusal); empty: none so far.
  const std::string& unexpected_error() const { return unexpected_error_; }

 private:
  struct Range {
    uint32_t volume = 0;  ///< number
    uint64_t offset_bytes = 0;
    uint64_t size_bytes = 0;
  };
  io::Task<void> work(Rng rng);
  Range draw_range(Rng& rng) const;
  /// The whole of the chunk in which the range begins.
  Range chunk_of(const Range& range) const;
  io::Task<Status> read(Range range);
  io::Task<Status> write(Range range);
  io::Task<Status> zero(Range range, bool discard);
  void begin_op(History::OpNumber op, const char* verb, const Range& range);
  void end_op(History::OpNumber op, const Status& result);

  Host& host_;
  const uint32_t number_;
  const Plan plan_;
  History& history_;
  io::Env env_;
  std::unique_ptr<client::Cluster> cluster_;
  std::vector<std::unique_ptr<client::Volume>> volumes_;
  uint32_t next_sequence_ = 1;
  bool is_stopping_ = false;
  size_t workers_count_ = 0;
  uint64_t ops_count_ = 0;
  uint64_t failed_ops_count_ = 0;
  std::map<History::OpNumber, std::string> pending_;
  std::string unexpected_error_;
};

}  // namespace cairn::sim
