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

/// What arrives, sorted by group.
class TransportReceiver {
 public:
  virtual ~TransportReceiver() = default;
  virtual void on_message(GroupId group, raft::Message message) = 0;
  virtual void on_heartbeat(GroupId group, NodeId from, Term term, LogIndex commit,
                            uint64_t stamp) = 0;
  virtual void on_heartbeat_answer(GroupId group, NodeId from, Term term, uint64_t stamp) = 0;
  /// `message` was not sent.
  virtual void on_undeliverable(GroupId group, const raft::Message& message) = 0;
};

class Transport {
 public:
  Transport(NodeId self, rpc::Client& client, const PeerDirectory& peers,
            TransportReceiver& receiver, Logger logger);
  ~Transport();

  void send(GroupId group, raft::Message message);
  void send_heartbeat(NodeId to, GroupId group, Term term, LogIndex commit, uint64_t stamp);
  void send_heartbeat_answer(NodeId to, GroupId group, Term term, uint64_t stamp);
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
  std::vector<NodeId> waiting_;  ///< the peers that this turn has something for
};

}  // namespace cairn::multiraft
