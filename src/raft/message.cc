#include "raft/message.h"

namespace cairn::raft {
bool is_local(MessageType type) {
  switch (type) {
    case MessageType::kHup:
    case MessageType::kBeat:
    case MessageType::kUnreachable:
    case MessageType::kSnapshotStatus:
    case MessageType::kCheckQuorum:
    case MessageType::kStorageAppend:
    case MessageType::kStorageAppendResponse:
    case MessageType::kStorageApply:
    case MessageType::kStorageApplyResponse:
      return true;
    default:
      return false;
  }
}

bool is_response(MessageType type) {
  switch (type) {
    case MessageType::kAppendResponse:
    case MessageType::kVoteResponse:
    case MessageType::kHeartbeatResponse:
    case MessageType::kUnreachable:
    case MessageType::kReadIndexResponse:
    case MessageType::kPreVoteResponse:
    case MessageType::kStorageAppendResponse:
    case MessageType::kStorageApplyResponse:
      return true;
    default:
      return false;
  }
}

MessageType vote_response_of(MessageType type) {
  CHECK(type == MessageType::kVote || type == MessageType::kPreVote);
  return type == MessageType::kVote ? MessageType::kVoteResponse : MessageType::kPreVoteResponse;
}

}  // namespace cairn::raft
