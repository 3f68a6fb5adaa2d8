// A whole group under random messages, losses, restarts and configuration changes, with
// asynchronous storage: whatever happens, what one member has applied no other contradicts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "raft/describe.h"
#include "raft/raw_node.h"

namespace cairn::raft {
namespace {

constexpr uint64_t kMembersCount = 5;
// CAIRN_RAFT_SEEDS=N runs that many instead.
uint64_t seeds_count() {
  const char* wanted = std::getenv("CAIRN_RAFT_SEEDS");
  return wanted ? std::strtoull(wanted, nullptr, 10) : 200;
}

constexpr size_t kInFlightMax = 200;  // messages beyond these are lost

struct Member {
  MemoryStorage storage;
  std::unique_ptr<RawNode> raw;
  std::deque<Message> append_work;
  std::deque<Message> apply_work;
  LogIndex applied;
  ConfState conf_state;
};

class World {
 public:
  World(uint64_t seed, bool change_members) : rng_(seed), change_members_(change_members) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    for (uint64_t id = 1; id <= kMembersCount; ++id) {
      snapshot->metadata.conf_state.voters.push_back(NodeId(id));
    }
    config_.election_tick = 5;
    config_.async_storage_writes = true;
    config_.check_quorum = rng_.chance(0.7);
    config_.pre_vote = rng_.chance(0.7);
    config_.step_down_on_removal = rng_.chance(0.5);
    config_.batch_appends = rng_.chance(0.5);
    config_.inflight_messages_max = rng_.between(1, 8);
    config_.size_per_message_max = rng_.between(1, 200);
    config_.committed_size_per_ready_max = rng_.between(1, 200);
    loss_ = rng_.unit() * 0.2;
    for (uint64_t id = 1; id <= kMembersCount; ++id) {
      EXPECT_TRUE(member(id).storage.apply_snapshot(snapshot).ok());
      restart(id);
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) step();
  }

  // Nothing is lost any more: everybody must get everywhere.
  void heal_and_check_progress() {
    loss_ = 0;
    const LogIndex target = highest_ + 5;
    const auto settled = [this, target] {
      for (uint64_t id = 1; id <= kMembersCount; ++id) {
        if (member(id).applied != member(1).applied) return false;
      }
      return member(1).applied >= target;
    };
    for (int round = 0; round < 3'000 && !settled(); ++round) {
      for (uint64_t id = 1; id <= kMembersCount; ++id) {
        if (round % 4 == 0) member(id).raw->tick();
        if (round < 1'000 && round % 8 == 0) propose(id);
        work(id, 10);
      }
      for (Message& message : std::exchange(in_flight_, {})) deliver(std::move(message));
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(settled()) << "no progress\n" << describe_members();
  }

  std::string describe_members() {
    std::string text;
    for (uint64_t id = 1; id <= kMembersCount; ++id) {
      const Member& m = member(id);
      const RaftStatus status = m.raw->status();
      text += to_string(status.id) + ' ' + describe(status.soft_state) + ' ' +
              describe(status.hard_state) + " last " + to_string(m.raw->last_index()) + " stable " +
              to_string(m.storage.last_index()) + " applied " + to_string(m.applied) + '/' +
              to_string(status.applied) + '\n' + to_string(status.progress);
    }
    return text;
  }

  size_t leaders_count() const { return leaders_.size(); }
  LogIndex highest() const { return highest_; }

 private:
  Member& member(uint64_t id) { return members_[id - 1]; }

  // Everything that is not in storage is gone, and the writes that were under way with it.
  void restart(uint64_t id) {
    Member& m = member(id);
    m.append_work.clear();
    m.apply_work.clear();
    m.applied = m.storage.first_index() - 1;
    m.conf_state = m.storage.initial_state().conf_state;
    // The snapshot may be ahead of the start of the log: begin where its configuration holds.
    if (const SnapshotPtr s = *m.storage.snapshot(); s->metadata.index > m.applied) {
      m.applied = s->metadata.index;
    }
    Config config = config_;
    config.id = NodeId(id);
    config.storage = &m.storage;
    config.rng = &rng_;
    config.applied = m.applied;
    HardState hard = m.storage.hard_state();
    hard.commit = std::max(hard.commit, m.applied);
    m.storage.set_hard_state(hard);
    auto created = RawNode::create(config);
    ASSERT_TRUE(created.ok()) << created.error().describe();
    m.raw = std::move(created).value();
  }

  void step() {
    const uint64_t id = rng_.between(1, kMembersCount);
    const double what = rng_.unit();
    if (what < 0.45) {
      work(id, 1);
    } else if (what < 0.80 && !in_flight_.empty()) {
      const size_t at = rng_.below(in_flight_.size());  // any order
      Message message = in_flight_[at];
      if (!rng_.chance(0.05)) in_flight_.erase(in_flight_.begin() + static_cast<ptrdiff_t>(at));
      if (rng_.chance(loss_)) {
        lose(message);
      } else {
        deliver(std::move(message));
      }
    } else if (what < 0.90) {
      member(id).raw->tick();
    } else if (what < 0.97) {
      propose(id);
    } else if (what < 0.975) {
      restart(id);
    } else if (what < 0.98) {
      member(id).raw->transfer_leader(NodeId(rng_.between(1, kMembersCount)));
    } else if (what < 0.985) {
      member(id).raw->report_unreachable(NodeId(rng_.between(1, kMembersCount)));
    } else if (what < 0.99) {
      member(id).raw->report_snapshot(NodeId(rng_.between(1, kMembersCount)), rng_.chance(0.5));
    } else if (what < 0.995) {
      compact(id);
    } else if (change_members_) {
      change_members(id);
    }
    member(id).raw->check_invariants();
  }

  void propose(uint64_t id) {
    (void)member(id).raw->propose(Buffer::copy_of("p" + std::to_string(++proposals_)));
  }

  void change_members(uint64_t id) {
    std::vector<ConfChangeSingle> changes(rng_.between(0, 3));
    for (ConfChangeSingle& single : changes) {
      constexpr ConfChangeType kTypes[] = {ConfChangeType::kAddVoter, ConfChangeType::kAddVoter,
                                           ConfChangeType::kAddLearner, ConfChangeType::kRemove};
      single = {.type = kTypes[rng_.below(4)], .node = NodeId(rng_.between(1, kMembersCount))};
    }
    const auto transition = static_cast<ConfChangeTransition>(rng_.below(3));
    (void)member(id).raw->propose_conf_change(ConfChangeV2(transition, std::move(changes)));
  }

  void compact(uint64_t id) {
    Member& m = member(id);
    if (m.applied <= (*m.storage.snapshot())->metadata.index) return;
    if (m.applied > m.storage.last_index()) return;
    ASSERT_TRUE(m.storage.create_snapshot(m.applied, m.conf_state, {}).ok());
    const LogIndex to = m.applied - rng_.below(3);
    if (to >= m.storage.first_index()) ASSERT_TRUE(m.storage.compact(to).ok());
  }

  // A little of what a member has to do, in an order that storage and apply allow.
  void work(uint64_t id, int count) {
    Member& m = member(id);
    for (int i = 0; i < count; ++i) {
      if (m.raw->is_leader()) note_leader(id);
      if (m.raw->has_ready()) {
        for (Message& message : m.raw->ready().messages) {
          if (message.to == kAppendThread) {
            m.append_work.push_back(std::move(message));
          } else if (message.to == kApplyThread) {
            m.apply_work.push_back(std::move(message));
          } else {
            send(std::move(message));
          }
        }
      }
      if (!m.append_work.empty() && rng_.chance(0.6)) write(m);
      if (!m.apply_work.empty() && rng_.chance(0.6)) apply(m);
    }
  }

  void write(Member& m) {
    Message work = std::move(m.append_work.front());
    m.append_work.pop_front();
    const HardState state{.term = work.term, .vote = work.vote, .commit = work.commit};
    if (!state.empty()) m.storage.set_hard_state(state);
    if (work.snapshot) {
      ASSERT_TRUE(m.storage.apply_snapshot(work.snapshot).ok());
      m.applied = std::max(m.applied, work.snapshot->metadata.index);
      m.conf_state = work.snapshot->metadata.conf_state;
    }
    m.storage.append(work.entries);
    for (Message& response : work.responses) send(std::move(response));
  }

  void apply(Member& m) {
    Message work = std::move(m.apply_work.front());
    m.apply_work.pop_front();
    for (const Entry& entry : work.entries) {
      if (entry.index <= m.applied) continue;  // a snapshot has overtaken it
      ASSERT_EQ(entry.index, m.applied + 1);
      m.applied = entry.index;
      highest_ = std::max(highest_, entry.index);
      const std::string text =
          std::to_string(entry.term.value()) + ' ' + std::string(as_text(entry.head.view()));
      const auto [known, fresh] = history_.emplace(entry.index, text);
      ASSERT_EQ(known->second, text) << "two members applied different entries";
      if (entry.type == EntryType::kNormal) continue;
      auto state = m.raw->apply_conf_change(decode_conf_change(entry.head.view()).value());
      if (state) m.conf_state = *state;
    }
    for (Message& response : work.responses) send(std::move(response));
  }

  // To itself without loss, like a function's return; to others by the network.
  void send(Message message) {
    if (message.to == message.from || is_local_target(message.from)) {
      const uint64_t to = message.to.value();
      const Status outcome = member(to).raw->step(std::move(message));
      // A member that was removed meanwhile does not count its own acknowledgments; and a proposal
      // may come back to who made it.
      ASSERT_TRUE(outcome.ok() || outcome.code() == Errc::kNotFound ||
                  outcome.code() == Errc::kUnavailable);
      return;
    }
    if (in_flight_.size() < kInFlightMax) {
      in_flight_.push_back(std::move(message));
    } else {
      lose(message);
    }
  }

  // What becomes of a snapshot is the one thing that the transport has to report: until it is
  // known, nothing else is sent.
  void lose(const Message& message) {
    if (message.type != MessageType::kSnapshot) return;
    member(message.from.value()).raw->report_snapshot(message.to, false);
  }

  void deliver(Message message) {
    if (message.type == MessageType::kSnapshot) {
      member(message.from.value()).raw->report_snapshot(message.to, true);
    }
    const Status outcome = member(message.to.value()).raw->step(std::move(message));
    if (!outcome) ASSERT_NE(outcome.code(), Errc::kCorrupt) << outcome.error().describe();
  }

  void note_leader(uint64_t id) {
    const auto [known, fresh] = leaders_.emplace(member(id).raw->term(), id);
    ASSERT_EQ(known->second, id) << "two leaders in term " << known->first.value();
  }

  Rng rng_;
  const bool change_members_;
  Config config_;
  double loss_ = 0;
  Member members_[kMembersCount];
  std::vector<Message> in_flight_;
  std::map<Term, uint64_t> leaders_;
  std::map<LogIndex, std::string> history_;
  LogIndex highest_;
  uint64_t proposals_ = 0;
};

TEST(RandomGroup, AgreesAndGoesOnWhateverHappens) {
  size_t leaders_count = 0;
  uint64_t applied_count = 0;
  for (uint64_t seed = 1; seed <= seeds_count(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed, false);
    world.run(3'000);
    world.heal_and_check_progress();
    leaders_count += world.leaders_count();
    applied_count += world.highest().value();
    if (HasFailure()) return;
  }
  // Else nothing much happened.
  EXPECT_GT(leaders_count, 2 * seeds_count());
  EXPECT_GT(applied_count, 50 * seeds_count());
}

TEST(RandomGroup, AgreesWhileItsMembersChange) {
  uint64_t applied_count = 0;
  for (uint64_t seed = 1; seed <= seeds_count(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed, true);
    world.run(6'000);
    applied_count += world.highest().value();
    if (HasFailure()) return;
  }
  EXPECT_GT(applied_count, 50 * seeds_count());
}

}  // namespace
}  // namespace cairn::raft
