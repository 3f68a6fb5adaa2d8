#include "multiraft/transport.h"

#include "multiraft/codec.h"
#include "wire/methods.h"

namespace cairn::multiraft {

namespace {
/// A frame is closed above this; a single message may exceed it by its own size.
constexpr size_t kFrameBytesMax = 4 * kMiB;
constexpr size_t kHeartbeatNumbers = 4;
constexpr size_t kAnswerNumbers = 4;
constexpr int kBeatNumbers = 2;
}  // namespace

struct Transport::Outgoing {
  bool waiting = false;
  std::vector<std::pair<GroupId, raft::Message>> messages;
  std::vector<uint64_t> heartbeats;
  std::vector<uint64_t> answers;
  uint64_t vouch = 0;
  uint64_t epoch = 0;
  std::vector<uint64_t> beat;         ///< vouch, stamp; the last of the turn
  std::vector<uint64_t> beat_answer;  ///< epoch, stamp; the last of the turn

  void clear() {
    messages.clear();
    heartbeats.clear();
    answers.clear();
    vouch = epoch = 0;
    beat.clear();
    beat_answer.clear();
  }
};

Transport::Transport(NodeId self, rpc::Client& client, const PeerDirectory& peers,
                     TransportReceiver& receiver, Logger logger)
    : self_(self),
      client_(client),
      peers_(peers),
      receiver_(receiver),
      logger_(std::move(logger)),
      flushing_(std::make_unique<Outgoing>()) {}

Transport::~Transport() = default;

Transport::Outgoing& Transport::outgoing_to(NodeId to) {
  auto& outgoing = outgoing_[to];
  if (!outgoing) outgoing = std::make_unique<Outgoing>();
  if (!std::exchange(outgoing->waiting, true)) waiting_.push_back(to);
  return *outgoing;
}

void Transport::send(GroupId group, raft::Message message) {
  CHECK(message.to != self_ && !raft::is_local_target(message.to));
  outgoing_to(message.to).messages.emplace_back(group, std::move(message));
}

void Transport::send_heartbeat(NodeId to, uint64_t vouch, const GroupHeartbeat& h) {
  Outgoing& outgoing = outgoing_to(to);
  if (outgoing.vouch == 0) outgoing.vouch = vouch;
  auto& numbers = outgoing.heartbeats;
  numbers.insert(numbers.end(), {h.group.value(), h.term.value(), h.commit.value(), h.stamp});
}

void Transport::send_heartbeat_answer(NodeId to, uint64_t epoch, const GroupHeartbeatAnswer& a) {
  Outgoing& outgoing = outgoing_to(to);
  if (outgoing.epoch == 0) outgoing.epoch = epoch;
  auto& numbers = outgoing.answers;
  numbers.insert(numbers.end(), {a.group.value(), a.term.value(), a.stamp, a.bound_commit.value()});
}

void Transport::send_beat(NodeId to, uint64_t vouch, uint64_t stamp) {
  outgoing_to(to).beat = {vouch, stamp};
}

void Transport::send_beat_answer(NodeId to, uint64_t epoch, uint64_t stamp) {
  outgoing_to(to).beat_answer = {epoch, stamp};
}

void Transport::flush() {
  // An undeliverable message may make a group send again: that waits for the next turn's end.
  auto waiting = std::exchange(waiting_, {});
  for (NodeId to : waiting) {
    std::unique_ptr<Outgoing>& outgoing = outgoing_[to];
    outgoing->waiting = false;
    std::swap(outgoing, flushing_);
    flush_peer(to, *flushing_);
    flushing_->clear();
  }
}

void Transport::flush_peer(NodeId to, Outgoing& outgoing) {
  wire::RaftBatch& batch = batch_;
  batch.Clear();
  std::vector<Buffer> attachment;
  batch.set_from_node(self_.value());
  batch.mutable_heartbeats()->Add(outgoing.heartbeats.begin(), outgoing.heartbeats.end());
  batch.mutable_heartbeat_answers()->Add(outgoing.answers.begin(), outgoing.answers.end());
  batch.set_vouch(outgoing.vouch);
  batch.set_epoch(outgoing.epoch);
  batch.mutable_beat()->Add(outgoing.beat.begin(), outgoing.beat.end());
  batch.mutable_beat_answer()->Add(outgoing.beat_answer.begin(), outgoing.beat_answer.end());
  size_t begin = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < outgoing.messages.size(); ++i) {
    const auto& [group, message] = outgoing.messages[i];
    encode(group, message, batch.add_messages(), &attachment);
    bytes += raft::encoded_bytes(message.entries);
    if (bytes < kFrameBytesMax && i + 1 < outgoing.messages.size()) continue;
    send_frame(to, batch, std::exchange(attachment, {}),
               std::span(outgoing.messages).subspan(begin, i + 1 - begin));
    batch.Clear();
    batch.set_from_node(self_.value());
    begin = i + 1;
    bytes = 0;
  }
  if (outgoing.messages.empty()) send_frame(to, batch, {}, {});
}

void Transport::send_frame(NodeId to, const wire::RaftBatch& batch, std::vector<Buffer> attachment,
                           std::span<const std::pair<GroupId, raft::Message>> messages) {
  Status sent = ok();
  if (const io::Address* address = peers_.find(to)) {
    sent = client_.send_one_way(*address, wire::Method::kRaftBatch, batch, std::move(attachment));
  } else {
    sent = error(Errc::kUnavailable, "no address is known");
  }
  if (sent) return;
  logger_.debug("messages to a peer were not sent",
                {{"peer", to}, {"count", messages.size()}, {"why", sent.error().message()}});
  for (const auto& [group, message] : messages) receiver_.on_undeliverable(group, message);
}

void Transport::on_batch(rpc::Call<wire::RaftBatch> call) {
  const wire::RaftBatch& batch = call.request;
  const NodeId from(batch.from_node());
  size_t offset_bytes = 0;
  for (const auto& encoded : batch.messages()) {
    auto message = decode(encoded, call.attachment, &offset_bytes);
    if (!message || message->from != from || message->to != self_) {
      logger_.warn(
          "a batch of Raft messages was dropped",
          {{"peer", call.peer.text},
           {"from", from},
           {"why", message ? "it is addressed to another node; a copied data directory, or "
                             "an address used again?"
                           : std::string_view(message.error().message())}});
      return;
    }
    receiver_.on_message(GroupId(encoded.group()), std::move(*message));
  }
  // Beats before what rests on them, so that the first heartbeat of a group can bind.
  if (batch.beat_size() == kBeatNumbers && batch.beat(0) != 0) {
    receiver_.on_beat(from, batch.beat(0), batch.beat(1));
  }
  if (batch.beat_answer_size() == kBeatNumbers && batch.beat_answer(0) != 0) {
    receiver_.on_beat_answer(from, batch.beat_answer(0), batch.beat_answer(1));
  }
  const auto& beats = batch.heartbeats();
  for (int i = 0; i + static_cast<int>(kHeartbeatNumbers) <= beats.size(); i += kHeartbeatNumbers) {
    if (beats[i + 1] == 0) continue;  // the core would take it for a message of its own host
    receiver_.on_heartbeat(from, {.group = GroupId(beats[i]),
                                  .term = Term(beats[i + 1]),
                                  .commit = LogIndex(beats[i + 2]),
                                  .stamp = beats[i + 3],
                                  .vouch = batch.vouch()});
  }
  const auto& answers = batch.heartbeat_answers();
  for (int i = 0; i + static_cast<int>(kAnswerNumbers) <= answers.size(); i += kAnswerNumbers) {
    if (answers[i + 1] == 0) continue;
    receiver_.on_heartbeat_answer(from, {.group = GroupId(answers[i]),
                                         .term = Term(answers[i + 1]),
                                         .stamp = answers[i + 2],
                                         .bound_commit = LogIndex(answers[i + 3]),
                                         .epoch = batch.epoch()});
  }
}

}  // namespace cairn::multiraft
