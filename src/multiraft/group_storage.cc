// The group's log: what is written, when its completions count, and payloads read back.
#include <algorithm>

#include "multiraft/group.h"

namespace cairn::multiraft {
namespace {

// Its payload was put out of memory; the write-ahead log has it.
bool lacks_payload(const raft::Entry& entry) {
  return entry.payload.size_bytes > 0 && entry.payload.bytes.empty();
}

}  // namespace

void Group::store(raft::Message message) {
  const bool installs = message.snapshot && !message.snapshot->empty();
  if (installing_ || installs) {
    // What follows a snapshot waits for it: the log is written in the core's order.
    held_appends_.push_back(std::move(message));
    if (!std::exchange(installing_, true)) host_.env().executor.spawn(install_loop());
    return;
  }
  write(message);
  deliver_when_durable(std::move(message.responses));
}

void Group::write(raft::Message& message) {
  // Term and vote first (pitfalls 16, 17). A commit index alone is not written, but for
  // note_conf_change(): it is learnt again from the leader, or by winning an election.
  if (!message.term.is_zero() && (message.term != written_term_ || message.vote != written_vote_)) {
    written_term_ = message.term;
    written_vote_ = message.vote;
    if (!is_planted(PlantedBug::kForgetVote)) write_hard_state();
  }
  log_.append(message.entries);
  for (const raft::Entry& entry : message.entries) {
    if (entry.index <= written_change_) written_change_ = written_commit_;  // it was not committed
    if (entry.type != raft::EntryType::kNormal) note_conf_change(entry.index);
    wal::Entry record;
    record.term = entry.term;
    record.index = entry.index;
    record.type = static_cast<uint8_t>(entry.type);
    record.head = entry.head;
    record.payload = entry.payload.bytes;
    CHECK(record.payload.size_bytes() == entry.payload.size_bytes);
    last_written_ = host_.wal().append_entry(id_, record);
    written_bytes_ += raft::encoded_bytes(entry);
    ++written_entries_;
    host_.cache().add({.group = id_,
                       .term = entry.term,
                       .index = entry.index,
                       .payload_bytes = entry.payload.size_bytes});
  }
}

void Group::write_hard_state() {
  last_written_ = host_.wal().append_hard_state(
      id_, {.term = written_term_, .vote = written_vote_.value(), .commit = written_commit_});
}

// A change of members stands in the log of nobody who has forgotten that the one before it was
// committed. With both in the log and neither known as committed a restarted member would campaign
// under the members of two changes ago, whose majority need not meet that of the present ones
// (pitfall 3); as it is, it applies the first before it may campaign.
void Group::note_conf_change(LogIndex index) {
  if (written_commit_ < written_change_ && written_change_ <= raw_->committed()) {
    written_commit_ = written_change_;
    write_hard_state();
  }
  written_change_ = index;
}

void Group::deliver_when_durable(std::vector<raft::Message> responses) {
  if (responses.empty()) return;
  const bool claims_early = is_planted(PlantedBug::kAckBeforeFlush);
  if (claims_early || (last_written_ <= host_.durable() && pending_responses_.empty())) {
    deliver(std::move(responses));
    return;
  }
  pending_responses_.push_back({last_written_, std::move(responses)});
  host_.notify_when_durable(*this, last_written_);
}

void Group::on_durable(wal::Lsn up_to) {
  while (!failed_ && !pending_responses_.empty() && pending_responses_.front().after <= up_to) {
    auto responses = std::move(pending_responses_.front().responses);
    pending_responses_.pop_front();
    deliver(std::move(responses));
  }
}

void Group::deliver(std::vector<raft::Message> responses) {
  for (raft::Message& response : responses) {
    if (response.to == host_.self()) {
      step(std::move(response));
    } else {
      send_to_peer(std::move(response));
    }
  }
  host_.mark_ready(*this);
}

bool Group::needs_payloads(const raft::Message& message) const {
  return std::ranges::any_of(message.entries, lacks_payload);
}

struct Group::PayloadReads {
  std::span<raft::Entry> entries;
  size_t next = 0;
  size_t readers_count = 0;
  std::optional<Error> failure;
  io::Event reader_ended;
};

io::Task<Status> Group::read_payloads(raft::Entries* entries) {
  if (!std::ranges::any_of(*entries, lacks_payload)) co_return ok();
  // One after the other a restart would take as long as the disk's latency times all entries.
  constexpr size_t kReadersMax = 16;
  PayloadReads reads{.entries = entries->mutable_view(),
                     .reader_ended = io::Event(host_.env().executor)};
  const size_t readers_count = std::min(kReadersMax, reads.entries.size());
  reads.readers_count = readers_count;
  for (size_t i = 0; i < readers_count; ++i) {
    host_.env().executor.spawn(read_some_payloads(&reads));
  }
  while (reads.readers_count > 0) co_await reads.reader_ended.wait_next();
  if (reads.failure) co_return *reads.failure;
  co_return ok();
}

io::Task<void> Group::read_some_payloads(PayloadReads* reads) {
  while (reads->next < reads->entries.size() && !reads->failure) {
    raft::Entry& entry = reads->entries[reads->next++];
    if (!lacks_payload(entry)) continue;
    auto bytes = co_await host_.wal().read_payload(id_, entry.index);
    if (!bytes) {
      reads->failure = bytes.error();
    } else if (bytes->size_bytes() != entry.payload.size_bytes) {
      reads->failure = error(Errc::kCorrupt, "the log holds another payload than the entry had");
    } else {
      entry.payload.bytes = std::move(*bytes);
    }
  }
  --reads->readers_count;
  reads->reader_ended.notify_all();
}

io::Task<void> Group::send_with_payloads() {
  auto inside = gate_.enter();
  while (inside && !sends_without_payloads_.empty() && !failed_) {
    raft::Message message = std::move(sends_without_payloads_.front());
    sends_without_payloads_.pop_front();
    const Term term = message.term;
    auto read = co_await read_payloads(&message.entries);
    if (failed_ || stopping_) break;
    if (raw_->term() != term || !is_leader()) continue;  // it is no longer ours to send
    if (read) {
      host_.transport().send(id_, std::move(message));
    } else {
      if (read.code() == Errc::kCorrupt) {
        logger_.error("an entry of the log is rotten: a snapshot takes its place",
                      {{"group", id_}, {"why", read.error().message()}});
        co_await replace_rotten_entries();
        if (failed_ || stopping_) break;
      } else {
        // Cut off or overwritten since: the core finds out what to send instead.
        logger_.debug("entries could not be read back",
                      {{"group", id_}, {"why", read.error().message()}});
      }
      raw_->report_unreachable(message.to);
    }
    host_.mark_ready(*this);  // the transport is flushed at the turn's end
  }
  sends_without_payloads_.clear();
  sending_with_payloads_ = false;
}

bool Group::drop_payload(LogIndex index, Term term) {
  return log_.drop_payload(index, term);
}

}  // namespace cairn::multiraft
