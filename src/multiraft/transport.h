/// Transport: carries Raft messages between hosts, one frame a peer and turn.
///
/// What all groups of a host have for one peer in a turn goes out together; heartbeats of all
/// groups are a list of numbers in it. Nothing is queued for a peer that cannot be reached: Raft
/// sends again, and the sender is told, so that it probes instead of pipelining. Threads: one
/// reactor.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "multiraft/peers.h"
#include "raft/message.h"
#include "rpc/client.h"
#include "wire/raft.pb.h"

namespace cairn::multiraft {

struct GroupHeartbeat {
  GroupId group;
  Term term;
  LogIndex commit;
  uint64_t stamp = 0;  ///< the sender's clock
  uint64_t vouch = 0;  ///< of the frame; see HostBeats
};
struct GroupHeartbeatAnswer {
  GroupId group;
  Term term;
  uint64_t stamp = 0;     ///< of the heartbeat that is answered
  LogIndex bound_commit;  ///< what the follower knows as committed; zero: it is not bound
  uint64_t epoch = 0;     ///< of the frame; see HostBeats
};

/// What arrives, sorted by group.
class TransportReceiver {
 public:
  virtual ~TransportReceiver() = default;
  virtual void on_message(GroupId group, raft::Message message) = 0;
  virtual void on_heartbeat(NodeId from, const GroupHeartbeat& heartbeat) = 0;
  virtual void on_heartbeat_answer(NodeId from, const GroupHeartbeatAnswer& answer) = 0;
  virtual void on_beat(NodeId from, uint64_t vouch, uint64_t stamp) = 0;
  virtual void on_beat_answer(NodeId from, uint64_t epoch, uint64_t stamp) = 0;
  /// `message` was not sent.
  virtual void on_undeliverable(GroupId group, const raft::Message& message) = 0;
};

class Transport {
 public:
  Transport(NodeId self, rpc::Client& client, const PeerDirectory& peers,
            TransportReceiver& receiver, Logger logger);
  ~Transport();

  void send(GroupId group, raft::Message message);
  /// Connects to a peer that may have to be asked for its vote: what is sent while there is no
  /// connection is lost, and an election is not repeated soon.
  void greet(NodeId to) { (void)outgoing_to(to); }
  /// A frame carries one vouch and one epoch: those of its first heartbeat and of its first answer
  /// from a bound follower. A later one may have moved on: its bond is then not taken for one.
  void send_heartbeat(NodeId to, uint64_t vouch, const GroupHeartbeat& heartbeat);
  void send_heartbeat_answer(NodeId to, uint64_t epoch, const GroupHeartbeatAnswer& answer);
  /// Between hosts, for all groups.
  void send_beat(NodeId to, uint64_t vouch, uint64_t stamp);
  void send_beat_answer(NodeId to, uint64_t epoch, uint64_t stamp);
  /// Sends what the turn has collected. Called once at its end, after all groups were looked at.
  void flush();

  /// The handler of Method::kRaftBatch: calls the receiver for all that the batch holds.
  void on_batch(rpc::Call<wire::RaftBatch> call);

 private:
  struct Outgoing;
  Outgoing& outgoing_to(NodeId to);
  void flush_peer(NodeId to, Outgoing& outgoing);
  void send_frame(NodeId to, const wire::RaftBatch& batch, std::vector<Buffer> attachment,
                  std::span<const std::pair<GroupId, raft::Message>> messages);

  NodeId self_;
  rpc::Client& client_;
  const PeerDirectory& peers_;
  TransportReceiver& receiver_;
  Logger logger_;
  std::map<NodeId, std::unique_ptr<Outgoing>> outgoing_;
  // Used again in each flush, so that a frame of many small messages allocates little.
  std::unique_ptr<Outgoing> flushing_;
  wire::RaftBatch batch_;
  std::vector<NodeId> waiting_;  ///< the peers that this turn has something for
};

}  // namespace cairn::multiraft
