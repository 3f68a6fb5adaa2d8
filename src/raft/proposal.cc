#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {

Status Raft::propose(Message message) {
  CHECK(!message.entries.empty(), "a proposal has entries");
  const auto dropped = [] { return error(Errc::kUnavailable, "raft proposal dropped"); };
  // A leader that a change removed only serves to the end of what it has.
  if (!tracker_.progress.find(id_)) return dropped();
  if (!transferee_.is_none()) {
    debug(id_, " [term ", term_, "] transfer leadership to ", transferee_,
          " is in progress; dropping proposal");
    return dropped();
  }
  if (hold_proposals_on_removal_ && leaving_index_ > log_.applied()) {
    debug(id_, " [term ", term_, "] is about to leave the voters; dropping proposal");
    return dropped();
  }
  LogIndex index = log_.last_index();
  for (Entry& entry : message.entries.mutable_view()) {
    ++index;
    if (entry.type != EntryType::kNormal) check_proposed_conf_change(entry, index);
  }
  if (!append_entries(std::move(message.entries))) return dropped();
  if (batch_appends_) {
    appends_due_ = true;
  } else {
    broadcast_append();
  }
  return ok();
}

// One change at a time: a change that may not be proposed now becomes an empty entry, so that the
// proposal keeps its place and its proposer learns of it when it applies nothing.
void Raft::check_proposed_conf_change(Entry& entry, LogIndex index) {
  const auto change = decode_conf_change(entry.head.view());
  std::string refusal;
  if (!change) {
    refusal = "malformed";
  } else if (const Status legal = check_conf_change(*change); !legal) {
    refusal = legal.error().message();
  }
  // Neither bytes that nobody can read nor a reset is let into the log, whatever was configured.
  const bool must_be_legal = !disable_conf_change_validation_ || !change || change->resets();
  if (!refusal.empty() && must_be_legal) {
    info(id_, " ignoring conf change at config ", tracker_.config, ": ", refusal, " at index ",
         pending_conf_index_, " (applied to ", log_.applied(), ")");
    entry = Entry();
  } else {
    pending_conf_index_ = index;
    if (hold_proposals_on_removal_) note_own_removal(*change, index);
  }
}

bool Raft::append_entries(Entries entries) {
  CHECK(role_ == Role::kLeader);
  LogIndex index = log_.last_index();
  for (Entry& entry : entries.mutable_view()) {
    entry.term = term_;
    entry.index = ++index;
  }
  if (!increase_uncommitted(payload_bytes(entries))) {
    warn(id_,
         " appending new entries to log would exceed uncommitted entry size limit; "
         "dropping proposal");
    return false;
  }
  CHECK(log_.append(std::move(entries)) == index);
  trace("append");
  acknowledge_own(index);
  return true;
}

// The leader's own acknowledgment, delivered once the entries are durable here.
void Raft::acknowledge_own(LogIndex index) {
  if (batch_appends_ && !messages_after_append_.empty()) {
    Message& last = messages_after_append_.back();
    if (last.type == MessageType::kAppendResponse && last.to == id_ && last.term == term_) {
      last.index = index;
      return;
    }
  }
  send({.type = MessageType::kAppendResponse, .to = id_, .index = index});
}

// The first proposal passes whatever its size, and so do those that weigh nothing.
bool Raft::increase_uncommitted(uint64_t bytes) {
  if (uncommitted_bytes_ > 0 && bytes > 0 && uncommitted_bytes_ + bytes > uncommitted_bytes_max_) {
    return false;
  }
  uncommitted_bytes_ += bytes;
  return true;
}

// Never below zero: entries of earlier terms are applied that were not counted here.
void Raft::reduce_uncommitted(uint64_t bytes) {
  uncommitted_bytes_ -= std::min(uncommitted_bytes_, bytes);
}

bool Raft::maybe_commit() {
  const LogIndex quorum = tracker_.committed();
  if (is_planted(PlantedBug::kCommitOldTerm)) {
    return log_.maybe_commit({.term = log_.term(quorum).value_or(Term()), .index = quorum});
  }
  return log_.maybe_commit({.term = term_, .index = quorum});
}

bool Raft::committed_in_term() const {
  return log_.term(log_.committed()) == term_;
}

}  // namespace cairn::raft
