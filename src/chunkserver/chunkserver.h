/// Chunkserver: the process that owns one disk and serves the copysets on it.
///
///   Chunkserver server(env, disk, options);
///   CO_TRY(co_await server.start());   // identity, pool, chunks, log; then serves
///   ...
///   co_await server.stop();
///
/// Threads:  one reactor. Lifetime: env and disk outlive it; stop() before it is destroyed, or its
///           frames are taken apart first (a simulated crash).
/// Source:   docs/architecture.md.
#pragma once

#include <map>
#include <memory>

#include "chunkserver/background/catch_up.h"
#include "chunkserver/background/heartbeat.h"
#include "chunkserver/background/scan.h"
#include "chunkserver/chunk_fetcher.h"
#include "chunkserver/copyset_set.h"
#include "chunkserver/identity.h"
#include "chunkserver/options.h"
#include "chunkserver/service.h"

namespace cairn::chunkserver {

class Chunkserver final : private ServiceContext,
                          private HeartbeatSubject,
                          private ChangeContext,
                          private CopysetListener {
 public:
  Chunkserver(io::Env env, io::Disk& disk, Options options);
  ~Chunkserver() override;

  /// Returns once it serves. The first start of a disk waits for the MDS, and the first at another
  /// address: a copied data directory must not serve beside its original. Others do not wait.
  /// Errors: kCorrupt, kUnsupported, kIo, kNoSpace of what is on the disk; the address cannot be
  /// bound; kUnauthenticated. Nothing is left running but what stop() ends.
  io::Task<Status> start();
  /// Hands leaderships over, while it serves on, and then stops: clients are sent on to the new
  /// leaders. In less than 10 s, with what HostOptions::save_at_stop_max and Options::hand_over
  /// say.
  io::Task<void> stop();

  /// Where it listens; valid once start() has returned.
  const io::Address& address() const override { return address_; }
  ChunkserverId id() const override { return identity_.id; }
  /// Ok while it serves: the disk works and the start is over. Copysets that are out of service do
  /// not make a server unhealthy: a restart would not help them.
  Status health() const;
  /// Null before start() has opened the log.
  multiraft::Host* raft() { return host_.get(); }
  chunk::ChunkStore& store() override { return *store_; }

 private:
  // ServiceContext
  io::Env& env() override { return env_; }
  Scan& scan() override { return scan_; }
  uint32_t chunk_bytes() const override { return options_.store.chunk_bytes; }
  Result<PinnedCopyset> find_copyset(CopysetId id) override;
  std::vector<Copyset*> copysets() override;
  const std::map<GroupId, std::string>& damaged_copysets() const override;
  const io::Address* address_of(NodeId node) const override { return peers_.find(node); }
  io::Task<Status> create_copyset(wire::CreateCopysetRequest request) override;
  io::Task<Status> remove_copyset(CopysetId id, Epoch epoch) override;
  ChangeRunner& changes() override { return changes_; }
  io::Task<void> learn_addresses(std::vector<wire::NodeAddress> peers) override;
  void report(const Error& failure) override;
  // HeartbeatSubject
  io::Task<wire::HeartbeatRequest> report() override;
  void acknowledge(const wire::HeartbeatRequest& answered) override;
  io::Task<void> obey(wire::HeartbeatReply reply) override;
  io::Task<void> on_displaced(Error why) override;

  // ChangeContext
  NodeId self() const override { return NodeId(identity_.id.value()); }
  void on_change_news() override { heartbeat_.hurry(); }
  // CopysetListener
  void on_copyset_news() override { heartbeat_.hurry(); }
  void on_incomplete(CopysetId copyset) override { catch_up_.add(copyset); }

  void add_services();
  io::Task<void> leave_groups();
  void on_raft_batch(rpc::Call<wire::RaftBatch> batch);
  io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> on_fetch_snapshot(
      rpc::Call<wire::FetchSnapshotRequest> call);
  io::Task<Status> open_stores();
  bool is_admitted_here() const;
  io::Task<Status> register_with_mds();
  io::Task<Status> open_log();
  bool learn_address(const wire::NodeAddress& peer);
  io::Task<void> write_peers_file();
  void fill_capacity(wire::HeartbeatRequest* request, Result<io::DiskSpace> space) const;
  void fill_io_counts(wire::HeartbeatRequest* request);
  void fill_copyset(const Copyset& copyset, wire::CopysetHeartbeat* entry) const;

  io::Env env_;
  io::Disk& disk_;
  Options options_;
  Identity identity_;
  io::Address address_;
  multiraft::PeerDirectory peers_;

  rpc::Client client_;
  MdsLink mds_;
  std::unique_ptr<pool::ChunkFilePool> pool_;
  std::unique_ptr<chunk::InPlaceStore> store_;
  std::unique_ptr<ChunkFetcher> fetcher_;
  std::unique_ptr<CopysetSet> copysets_;  ///< null until the stores are open
  std::unique_ptr<multiraft::Host> host_;
  std::unique_ptr<SlowDiskWatch> slow_disk_;  ///< as this and the next: once the log is open
  std::unique_ptr<DiskProbe> disk_probe_;
  ChangeRunner changes_;
  ChunkService service_;
  IoCounts acknowledged_;  ///< what the MDS has been told
  rpc::Server server_;
  Heartbeat heartbeat_;
  CatchUp catch_up_;
  Scan scan_;
  io::Gate gate_;
  io::Semaphore peers_writer_;  ///< one at a time replaces the file
  bool is_serving_ = false;
  bool is_stopping_ = false;
};

}  // namespace cairn::chunkserver
