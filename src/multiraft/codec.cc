#include "multiraft/codec.h"

#include "base/units.h"

namespace cairn::multiraft {

namespace {

Buffer serialize(const google::protobuf::MessageLite& message) {
  Buffer bytes = Buffer::allocate(message.ByteSizeLong());
  CHECK(
      message.SerializeToArray(bytes.mutable_view().data(), static_cast<int>(bytes.size_bytes())));
  return bytes;
}

bool parse(ByteView bytes, google::protobuf::MessageLite* into) {
  return into->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void encode_nodes(const std::vector<NodeId>& nodes,
                  google::protobuf::RepeatedField<uint64_t>* into) {
  for (NodeId node : nodes) into->Add(node.value());
}
std::vector<NodeId> decode_nodes(const google::protobuf::RepeatedField<uint64_t>& from) {
  std::vector<NodeId> nodes;
  for (uint64_t node : from) nodes.emplace_back(node);
  return nodes;
}

void encode_conf_state(const raft::ConfState& state, wire::RaftConfState* into) {
  encode_nodes(state.voters, into->mutable_voters());
  encode_nodes(state.learners, into->mutable_learners());
  encode_nodes(state.voters_outgoing, into->mutable_voters_outgoing());
  encode_nodes(state.learners_next, into->mutable_learners_next());
  into->set_auto_leave(state.auto_leave);
}
raft::ConfState decode_conf_state(const wire::RaftConfState& from) {
  raft::ConfState state;
  state.voters = decode_nodes(from.voters());
  state.learners = decode_nodes(from.learners());
  state.voters_outgoing = decode_nodes(from.voters_outgoing());
  state.learners_next = decode_nodes(from.learners_next());
  state.auto_leave = from.auto_leave();
  return state;
}

void encode_entry(const raft::Entry& entry, wire::RaftEntry* into,
                  std::vector<Buffer>* attachment) {
  into->set_term(entry.term.value());
  into->set_index(entry.index.value());
  into->set_type(static_cast<uint32_t>(entry.type));
  if (!entry.head.empty()) into->set_head(entry.head.data(), entry.head.size_bytes());
  if (entry.payload.size_bytes == 0) return;
  CHECK(entry.payload.bytes.size_bytes() == entry.payload.size_bytes,
        "a payload is read back from the log before it is sent");
  into->set_payload_bytes(entry.payload.size_bytes);
  attachment->push_back(entry.payload.bytes);
}

Result<raft::Entry> decode_entry(const wire::RaftEntry& from, const Buffer& attachment,
                                 size_t* offset_bytes) {
  if (from.type() > static_cast<uint32_t>(raft::EntryType::kConfChangeV2)) {
    return error(Errc::kProtocol, "an entry of unknown type " + std::to_string(from.type()));
  }
  raft::Entry entry;
  entry.term = Term(from.term());
  entry.index = LogIndex(from.index());
  entry.type = static_cast<raft::EntryType>(from.type());
  entry.head = Buffer::copy_of(from.head());
  if (from.payload_bytes() > 0) {
    if (from.payload_bytes() > attachment.size_bytes() - *offset_bytes) {
      return error(Errc::kProtocol, "an entry's payload lies beyond the attachment");
    }
    if (!is_block_aligned(from.payload_bytes())) {
      return error(Errc::kProtocol, "an entry's payload is no multiple of a block");
    }
    entry.payload.size_bytes = from.payload_bytes();
    entry.payload.bytes = attachment.slice(*offset_bytes, from.payload_bytes());
    *offset_bytes += from.payload_bytes();
  }
  return entry;
}

void encode_snapshot(const raft::Snapshot& snapshot, wire::RaftSnapshot* into) {
  into->set_index(snapshot.metadata.index.value());
  into->set_term(snapshot.metadata.term.value());
  encode_conf_state(snapshot.metadata.conf_state, into->mutable_conf_state());
  into->set_data(snapshot.data.data(), snapshot.data.size_bytes());
}

}  // namespace

void encode(GroupId group, const raft::Message& message, wire::RaftMessage* into,
            std::vector<Buffer>* attachment) {
  into->set_group(group.value());
  into->set_type(static_cast<uint32_t>(message.type));
  into->set_to(message.to.value());
  into->set_from(message.from.value());
  into->set_term(message.term.value());
  into->set_log_term(message.log_term.value());
  into->set_index(message.index.value());
  into->set_commit(message.commit.value());
  into->set_reject(message.reject);
  into->set_is_partial(message.is_partial);
  into->set_reject_hint(message.reject_hint.value());
  if (!message.context.empty()) {
    into->set_context(message.context.data(), message.context.size_bytes());
  }
  for (const raft::Entry& entry : message.entries) {
    encode_entry(entry, into->add_entries(), attachment);
  }
  if (message.snapshot) encode_snapshot(*message.snapshot, into->mutable_snapshot());
}

Result<raft::Message> decode(const wire::RaftMessage& from, const Buffer& attachment,
                             size_t* offset_bytes) {
  if (from.type() >= raft::kMessageTypesCount ||
      raft::is_local(static_cast<raft::MessageType>(from.type()))) {
    return error(Errc::kProtocol, "a Raft message of type " + std::to_string(from.type()) +
                                      " does not come from a peer");
  }
  raft::Message message;
  message.type = static_cast<raft::MessageType>(from.type());
  message.to = NodeId(from.to());
  message.from = NodeId(from.from());
  message.term = Term(from.term());
  message.log_term = Term(from.log_term());
  message.index = LogIndex(from.index());
  message.commit = LogIndex(from.commit());
  message.reject = from.reject();
  message.is_partial = from.is_partial();
  message.reject_hint = LogIndex(from.reject_hint());
  message.context = Buffer::copy_of(from.context());
  if (message.term.is_zero()) {
    // The core takes it for a message of its own host and checks no term.
    return error(Errc::kProtocol, "a Raft message without a term");
  }
  if (raft::is_local_target(message.from) || raft::is_local_target(message.to)) {
    return error(Errc::kProtocol, "a Raft message from or to a reserved node");
  }
  message.entries.reserve(static_cast<size_t>(from.entries_size()));
  for (const auto& entry : from.entries()) {
    message.entries.push_back(TRY(decode_entry(entry, attachment, offset_bytes)));
    const LogIndex expected = message.index + static_cast<uint64_t>(message.entries.size());
    if (message.type == raft::MessageType::kAppend && message.entries.back().index != expected) {
      return error(Errc::kProtocol, "an append's entries do not follow each other");
    }
  }
  if (from.has_snapshot()) {
    raft::Snapshot snapshot;
    snapshot.metadata.index = LogIndex(from.snapshot().index());
    snapshot.metadata.term = Term(from.snapshot().term());
    snapshot.metadata.conf_state = decode_conf_state(from.snapshot().conf_state());
    snapshot.data = Buffer::copy_of(from.snapshot().data());
    message.snapshot = std::make_shared<const raft::Snapshot>(std::move(snapshot));
  }
  if (message.type == raft::MessageType::kSnapshot &&
      (!message.snapshot || message.snapshot->empty() ||
       message.snapshot->metadata.conf_state.voters.empty())) {
    return error(Errc::kProtocol, "a snapshot message without a snapshot, or one without voters");
  }
  return message;
}

namespace {

wire::RaftMark mark_of(const raft::Snapshot& snapshot) {
  wire::RaftMark mark;
  encode_conf_state(snapshot.metadata.conf_state, mark.mutable_conf_state());
  mark.set_state_index(snapshot.metadata.index.value());
  mark.set_state_term(snapshot.metadata.term.value());
  mark.set_state(snapshot.data.data(), snapshot.data.size_bytes());
  mark.set_blank(snapshot.empty());
  return mark;
}

}  // namespace

Buffer encode_mark(const raft::Snapshot& snapshot) {
  return serialize(mark_of(snapshot));
}

Buffer encode_removed_mark(const raft::Snapshot& snapshot) {
  wire::RaftMark mark = mark_of(snapshot);
  mark.set_removed(true);
  return serialize(mark);
}

bool is_removed_mark(ByteView bytes) {
  wire::RaftMark mark;
  return parse(bytes, &mark) && mark.removed();
}

Result<raft::SnapshotPtr> decode_mark(ByteView bytes) {
  wire::RaftMark mark;
  // Blank or complete, nothing between.
  if (!parse(bytes, &mark) || mark.blank() != (mark.state_index() == 0) ||
      mark.blank() != (mark.conf_state().voters_size() == 0)) {
    return error(Errc::kCorrupt, "a snapshot mark in the log cannot be read");
  }
  raft::Snapshot snapshot;
  snapshot.metadata.conf_state = decode_conf_state(mark.conf_state());
  snapshot.metadata.index = LogIndex(mark.state_index());
  snapshot.metadata.term = Term(mark.state_term());
  snapshot.data = Buffer::copy_of(mark.state());
  return raft::SnapshotPtr(std::make_shared<const raft::Snapshot>(std::move(snapshot)));
}

Buffer encode(const GroupState& state) {
  wire::RaftGroupState message;
  message.set_epoch(state.epoch.value());
  message.set_machine(state.machine.data(), state.machine.size_bytes());
  if (state.file) {
    message.mutable_file()->set_index(state.file->index.value());
    message.mutable_file()->set_size_bytes(state.file->size_bytes);
    message.mutable_file()->set_crc32c(state.file->crc);
  }
  return serialize(message);
}

Result<GroupState> decode_group_state(ByteView bytes) {
  wire::RaftGroupState message;
  if (!parse(bytes, &message)) {
    return error(Errc::kCorrupt, "the state of a group's snapshot cannot be read");
  }
  GroupState state{.epoch = Epoch(message.epoch()), .machine = Buffer::copy_of(message.machine())};
  if (message.has_file()) {
    state.file = {.index = LogIndex(message.file().index()),
                  .size_bytes = message.file().size_bytes(),
                  .crc = message.file().crc32c()};
  }
  return state;
}

}  // namespace cairn::multiraft
