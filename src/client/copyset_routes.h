/// CopysetRoutes: who is in each copyset and who leads it, as far as this client knows.
///
/// A route is a guess that costs a redirect when it is wrong, never a wrong answer: only the leader
/// serves. All volumes of a cluster object share it. Routes are kept for good: a cluster has
/// thousands of copysets, not millions.
/// Threads: the reactor's.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "io/env.h"
#include "io/sync.h"

namespace cairn::client {

class MdsCaller;

struct Member {
  NodeId node;
  io::Address address;
  Instant suspect_until{};  ///< did not answer: asked after the others, the later the time
};

/// One copyset. The decisions on it are plain functions of it: see LeaderSearch.
struct CopysetRoute {
  CopysetId copyset;
  Epoch epoch;
  std::vector<Member> members;
  NodeId leader;  ///< none: not known

  const Member* find(NodeId node) const;
  Member* find(NodeId node);
  /// Takes over what the MDS says; what is known of the members' health stays.
  void update(Epoch new_epoch, std::vector<Member> new_members, NodeId new_leader, Instant now);
};

/// One operation's way through a copyset's members: the leader as far as known, then the others,
/// each at most once a round, those that failed to answer last; those that did so a moment ago only
/// where nobody else answered.
class LeaderSearch {
 public:
  /// Whom to ask now; null when this round has asked everybody: pause, then start_round().
  const Member* choose(const CopysetRoute& route, Instant now) const;
  void start_round();
  /// Nobody is worth asking before the next round.
  void end_round(const CopysetRoute& route);

  /// `node` answered that `hint` leads (none: it does not know).
  void redirected(CopysetRoute& route, NodeId node, NodeId hint, Instant now);
  /// `node` did not serve; `suspicion` > 0 if it did not even answer.
  void failed(CopysetRoute& route, NodeId node, Instant now, Duration suspicion);

 private:
  bool has_tried(NodeId node) const;
  std::vector<NodeId> tried_;
  bool was_answered_ = false;  ///< in this round
};

class CopysetRoutes {
 public:
  CopysetRoutes(io::Env env, MdsCaller& mds) : env_(env), mds_(mds) {}
  CopysetRoutes(const CopysetRoutes&) = delete;
  CopysetRoutes& operator=(const CopysetRoutes&) = delete;

  /// Null: ask fetch() first. The pointer stays good.
  CopysetRoute* find(CopysetId copyset);
  /// Asks the MDS about those of `copysets` that are not known. kNotFound names one that is not
  /// there.
  io::Task<Status> fetch(std::vector<CopysetId> copysets, Instant deadline);
  /// Asks the MDS again in the background, at most once at a time for a copyset: an operation that
  /// looks for a leader goes on asking the members meanwhile, so that a dead MDS holds up nobody.
  void refresh_soon(CopysetId copyset);
  /// Waits for the background refreshes; no new one begins.
  io::Task<void> stop();

 private:
  struct Known {
    CopysetRoute route;
    bool is_refreshing = false;
  };
  io::Task<Status> ask(std::vector<CopysetId> copysets, Instant deadline);
  io::Task<void> refresh(CopysetId copyset);

  io::Env env_;
  MdsCaller& mds_;
  std::unordered_map<CopysetId, Known> routes_;
  io::Gate gate_{env_.executor};
};

}  // namespace cairn::client
