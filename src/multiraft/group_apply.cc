// Committed entries to the state machine, in order; proposers resumed when theirs is applied.
#include "multiraft/group.h"
#include "multiraft/proposal.h"

namespace cairn::multiraft {

io::Task<void> Group::apply_loop() {
  auto inside = gate_.enter();
  // Behind the hooks of this turn: the log's write and the peers' frames of the same Ready leave
  // first, and what is applied here overlaps with them.
  co_await io::later(host_.env().executor);
  while (inside && !apply_queue_.empty() && !failed_ && !stopping_) {
    if (save_waits_) {
      co_await progress_.wait_next();
      continue;
    }
    raft::Message message = std::move(apply_queue_.front());
    apply_queue_.pop_front();
    applying_batch_ = true;
    auto applied = co_await apply_entries(std::move(message.entries));
    applying_batch_ = false;
    if (!applied) {
      if (!stopping_) fail(applied.error().within("applying committed entries"));
      break;
    }
    if (failed_ || stopping_) break;
    deliver(std::move(message.responses));
    maybe_start_leading();
    progress_.notify_all();
    host_.settle(*this);
  }
  applying_ = false;
  progress_.notify_all();
}

io::Task<Status> Group::apply_entries(raft::Entries entries) {
  CO_TRY(co_await read_payloads(&entries));
  std::vector<Command> commands;
  for (const raft::Entry& entry : entries) {
    CHECK(entry.index > applied_, "an entry is applied once");
    const bool is_command =
        entry.type == raft::EntryType::kNormal && (!entry.head.empty() || entry.payload.size_bytes);
    if (is_command) {
      Command command;
      command.term = entry.term;
      command.index = entry.index;
      command.head = entry.head;
      command.payload = entry.payload.bytes;
      commands.push_back(std::move(command));
      continue;
    }
    CO_TRY(co_await apply_commands(std::exchange(commands, {})));
    if (entry.type != raft::EntryType::kNormal) CO_TRY(co_await remember_change(entry.index));
    CO_TRY(apply_marker(entry));
  }
  co_return co_await apply_commands(std::move(commands));
}

io::Task<Status> Group::apply_commands(std::vector<Command> commands) {
  if (commands.empty()) co_return ok();
  CHECK(commands.front().index == applied_ + 1, "commands are applied without a gap");
  if (Status taken = co_await machine_.on_apply(commands); !taken) {
    CO_TRY(co_await apply_refused(&commands, taken.error()));
  }
  applied_ = commands.back().index;
  for (const Command& c : commands) resolve_proposals(c.term, c.index, c.outcome);
  co_return ok();
}

// A machine that has no room, say, must not take its group out of service: room may be made.
io::Task<Status> Group::apply_refused(std::vector<Command>* commands, Error reason) {
  if (!is_refusal(reason.code())) co_return reason;
  note_refusal(reason);
  size_t done_count = 0;
  for (uint32_t attempt = 0;; ++attempt) {
    while (done_count < commands->size() && (*commands)[done_count].is_done) ++done_count;
    if (done_count == commands->size()) break;
    if (!co_await sleep_before_retry(attempt)) co_return check_in_service();
    auto applied = co_await machine_.on_apply(std::span(*commands).subspan(done_count));
    if (applied) break;
    if (!is_refusal(applied.code())) co_return applied;
  }
  logger_.info("the state machine goes on", {{"group", id_}});
  refusal_.reset();
  co_return ok();
}

void Group::note_refusal(const Error& reason) {
  refusal_ = reason;
  progress_.notify_all();
  logger_.warn("the state machine refuses a command; trying again",
               {{"group", id_}, {"why", reason.message()}});
  host_.env()
      .metrics
      .counter("cairn_raft_apply_refusals_total",
               "times that a state machine had to be asked again to apply a command")
      .add();
  // Another one can perhaps: it makes no difference to this replica, and much to the clients.
  if (is_leader()) host_.env().executor.spawn(hand_over());
}

// False: out of service or stopping.
io::Task<bool> Group::sleep_before_retry(uint32_t attempt) {
  const HostOptions& options = host_.options();
  const auto delay = std::min(options.refusal_retry_delay_max,
                              options.refusal_retry_delay_min * (1 << std::min(attempt, 16u)));
  // In short pieces, so that stop() does not wait for it.
  const Instant until = host_.env().clock.now() + delay;
  while (!failed_ && !stopping_ && host_.env().clock.now() < until) {
    co_await host_.env().clock.sleep(std::min(delay, options.tick));
  }
  co_return !failed_ && !stopping_;
}

Status Group::apply_marker(const raft::Entry& entry) {
  ++epoch_;
  Status outcome = ok();
  if (entry.type != raft::EntryType::kNormal) outcome = TRY(apply_conf_change(entry));
  applied_ = entry.index;
  machine_.on_epoch(epoch_, entry.index);
  resolve_proposals(entry.term, entry.index, outcome);
  if (is_leader() && log_.needs_newer_snapshot()) {
    host_.env().executor.spawn(take_wanted_snapshot());
  }
  return ok();
}

// Once a configuration is in force those that it leaves out may go. A restarted member that has
// forgotten that the change is committed would campaign under the one before, and need their votes.
io::Task<Status> Group::remember_change(LogIndex index) {
  if (written_commit_ >= index || is_planted(PlantedBug::kChangeForgotten)) co_return ok();
  written_commit_ = index;
  write_hard_state();
  CO_TRY(co_await host_.wait_durable(last_written_));
  co_return check_in_service();
}

Result<Status> Group::apply_conf_change(const raft::Entry& entry) {
  raft::ConfChangeV2 change = TRY(raft::decode_conf_change(entry.head.view()));
  // The core has taken a snapshot's configuration meanwhile, of which this change is a part.
  if (entry.index < raw_->first_index()) return ok();
  auto configuration = raw_->apply_conf_change(change);
  // An illegal change is refused alike on every member and leaves the configuration as it was.
  if (!configuration) return Status(configuration.error());
  configuration_ = *configuration;
  configured_at_ = host_.env().clock.now();
  // Whoever leaves the outgoing half as a learner is one from here on, and a voter in a snapshot of
  // the joint configuration, which one that began anew does not take.
  const bool adds = change.leaves_joint() ||
                    std::ranges::any_of(change.changes, [](const raft::ConfChangeSingle& c) {
                      return c.type != raft::ConfChangeType::kRemove;
                    });
  if (adds) log_.need_snapshot_from(entry.index);
  machine_.on_configuration_committed(configuration_);
  greet_members();
  // To a new member as well, whose host may be one that nobody beats to yet: only an answer wakes a
  // group that is at rest.
  if (is_leader()) send_heartbeats();
  return ok();
}

void Group::resolve_proposals(Term term, LogIndex index, const Status& outcome) {
  while (proposals_first_ && proposals_first_->index <= index) {
    Proposal& proposal = *proposals_first_;
    if (proposal.index < index || proposal.term != term) {
      proposal.resolve(
          error(Errc::kUnavailable, "another leader's entry took the command's place"));
    } else if (!outcome) {
      proposal.resolve(outcome.error());
    } else {
      proposal.resolve(index);
    }
  }
}

void Group::maybe_start_leading() {
  if (!is_leader() || started_term_ == raw_->term()) return;
  // An election won in this turn is noted at its end; leader_first_index_ is an older term's yet.
  if (!noted_leader_ || noted_term_ != raw_->term()) return;
  if (applied_ < leader_first_index_ || machine_.missing_count() > 0) return;
  started_term_ = raw_->term();
  machine_.on_leader_start(started_term_);
}

}  // namespace cairn::multiraft
