/// ChangeRunner: carries out changes of copysets' members and leaders on the chunkserver that leads
/// them: for the MDS, which orders them in its answers to heartbeats, and for operators.
///
/// A change of members brings the newcomers in first: their chunkservers make blank replicas, the
/// leader adds them as learners and waits until they have caught up, and only then does the change
/// count on them. Members that have left are told to put their replicas into the recycler.
///
/// One change a copyset is under way at a time, and `changes_max` on this disk. An order that is
/// repeated while it is under way does nothing; one for another epoch is refused. What was ordered
/// by the MDS is reported as ended until a heartbeat that says so has been answered.
/// Threads:  one reactor.
/// Lifetime: context and client outlive it; stop() after the groups have stopped.
/// Source:   docs/architecture.md, "How a replica comes and goes".
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "chunkserver/copyset_set.h"
#include "chunkserver/rate_limit.h"
#include "rpc/client.h"
#include "wire/copyset.pb.h"
#include "wire/mds.pb.h"

namespace cairn::chunkserver {

struct ChangeOrder {
  wire::CopysetChange change;  ///< as it is reported; epoch 0: whatever the present one is
  /// For CHANGE_REPLACE, unless empty: all members afterwards, instead of target for source.
  std::vector<NodeId> voters;
};

/// What the runner uses of its chunkserver.
class ChangeContext {
 public:
  virtual ~ChangeContext() = default;
  virtual Result<PinnedCopyset> find_copyset(CopysetId id) = 0;
  virtual const io::Address* address_of(NodeId node) const = 0;
  virtual NodeId self() const = 0;
  virtual const io::Address& address() const = 0;
  /// A change has begun or ended: the MDS should hear of it soon. Must not call back.
  virtual void on_change_news() = 0;
};

struct ChangeOptions {
  size_t changes_max = 64;
  Duration call_timeout = 2s;
  /// A newcomer that does not answer, and a group that is not settled, are asked again so often.
  uint32_t tries_max = 5;
  Duration retry_delay = 500ms;
};

class ChangeRunner {
 public:
  ChangeRunner(io::Env env, rpc::Client& client, ChangeContext& context,
               ChangeOptions options = {});

  /// Begins a change; ok, too, if it is under way already (by its operator_id).
  /// Errors: kNotLeader, kNotFound, kUnavailable. kStaleEpoch: it is for another configuration.
  ///         kInvalidArgument: it makes no sense. kOverloaded: another change of the copyset is
  ///         under way, or too many are here. Nothing was done in any of them.
  Status begin(ChangeOrder order);
  /// For the MDS: a refusal is reported like a change that has failed.
  void obey(wire::CopysetChange change);
  /// UNSAFE: Node::reset_members, as the copyset's one change.
  io::Task<Status> reset(CopysetId copyset, std::vector<NodeId> voters);

  /// How a change ended here, by its operator_id; nullopt: not known, or not known any more.
  std::optional<Status> outcome_of(uint64_t operator_id) const;
  /// The same, waited for while it is under way, but not beyond `until`.
  io::Task<std::optional<Status>> wait(CopysetId copyset, uint64_t operator_id, Instant until);

  struct Progress {
    uint64_t copied_bytes = 0;  ///< by newcomers, from here
  };
  /// Null: nothing is under way.
  const Progress* progress(CopysetId copyset) const;
  /// Before a replica fetches from this leader: keeps the copy below what the change allows.
  io::Task<void> pace_copy(CopysetId copyset);
  /// A replica has fetched so much of the copyset from this leader.
  void note_copied(CopysetId copyset, uint64_t bytes);

  /// Puts what is under way, and what has ended, into a report.
  void fill(CopysetId copyset, wire::CopysetHeartbeat* entry) const;
  /// The MDS has heard it.
  void acknowledge(const wire::HeartbeatRequest& answered);

  /// No new change begins, and those under way end as soon as their groups let them.
  void begin_stop() { is_stopping_ = true; }
  io::Task<void> stop();

 private:
  struct UnderWay {
    ChangeOrder order;
    bool is_from_mds = false;
    Progress progress;
    std::shared_ptr<RateLimit> rate;  ///< with those that wait for it; null: no limit
  };
  struct Ended {
    uint64_t operator_id = 0;
    Status outcome = ok();
  };

  Status check_slot(CopysetId copyset) const;
  Status check_order(const ChangeOrder& order, const multiraft::NodeStatus& status) const;
  Status start(ChangeOrder order, bool is_from_mds);
  io::Task<void> run(ChangeOrder order);
  io::Task<Status> carry_out(ChangeOrder order);
  io::Task<Status> replace(multiraft::Node* node, CopysetId copyset, std::vector<NodeId> voters);
  io::Task<Status> bring_in(const multiraft::Node* node, CopysetId copyset, NodeId newcomer);
  io::Task<Status> insist(CopysetId copyset, std::function<io::Task<Status>()> change);
  void introduce(const std::vector<NodeId>& newcomers, const std::vector<NodeId>& members);
  io::Task<void> tell_peers(io::Address member, wire::LearnPeersRequest request);
  io::Task<void> dismiss(const multiraft::Node* node, CopysetId copyset, NodeId member);
  void finish(CopysetId copyset, const Status& outcome);
  void note_outcome(CopysetId copyset, uint64_t operator_id, const Status& outcome);

  io::Env env_;
  rpc::Client& client_;
  ChangeContext& context_;
  const ChangeOptions options_;
  io::Gate gate_;
  io::Event ended_;  ///< a change has ended
  bool is_stopping_ = false;
  std::map<CopysetId, UnderWay> under_way_;
  /// Not acknowledged yet; kOutcomesMax a copyset.
  std::map<CopysetId, std::deque<Ended>> outcomes_;
  std::deque<Ended> recent_;  ///< the last kRecentMax, for wait()
  Counter& done_total_;
  Counter& failed_total_;

  static constexpr size_t kOutcomesMax = 4;
  static constexpr size_t kRecentMax = 64;
  static constexpr Duration kPaceMax =
      std::chrono::seconds(2);  ///< of a call, which has a deadline
};

}  // namespace cairn::chunkserver
