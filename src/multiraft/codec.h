/// Raft's messages and marks as protobuf, and back. Payloads travel behind the message, as the
/// frame's attachment, by reference.
/// Source: src/wire/raft.proto.
#pragma once

#include <optional>
#include <vector>

#include "raft/message.h"
#include "wire/raft.pb.h"

namespace cairn::multiraft {

/// The payloads of `message` are appended to `attachment` in the order of its entries; all of them
/// are in memory.
void encode(GroupId group, const raft::Message& message, wire::RaftMessage* into,
            std::vector<Buffer>* attachment);

/// Takes the payloads from `attachment` at `*offset_bytes`, and moves that on.
/// Errors: kProtocol: an unknown type, no term, a payload beyond the attachment, entries that do
/// not follow each other, a snapshot without voters.
Result<raft::Message> decode(const wire::RaftMessage& from, const Buffer& attachment,
                             size_t* offset_bytes);

/// The data of a snapshot mark in the write-ahead log: the snapshot, which may be ahead of the
/// mark.
Buffer encode_mark(const raft::Snapshot& snapshot);
/// The same for a group that was removed from this host and whose data is still there.
Buffer encode_removed_mark(const raft::Snapshot& snapshot);
bool is_removed_mark(ByteView bytes);
/// Of a replica that has joined and has got nothing yet, the snapshot is empty.
Result<raft::SnapshotPtr> decode_mark(ByteView bytes);

/// What a state machine saved, in a file: see SnapshotFiles.
struct SnapshotFile {
  LogIndex index;
  uint64_t size_bytes = 0;
  uint32_t crc = 0;
  auto operator<=>(const SnapshotFile&) const = default;
};
struct GroupState {
  Epoch epoch;
  Buffer machine;
  std::optional<SnapshotFile> file = std::nullopt;  ///< holds what `machine` would
};
Buffer encode(const GroupState& state);
Result<GroupState> decode_group_state(ByteView bytes);

}  // namespace cairn::multiraft
