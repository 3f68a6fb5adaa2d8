#include "sim/raft/core_run.h"

#include <cstdio>
#include <deque>
#include <set>

#include "sim/check/replicas.h"
#include "sim/raft/core_plan.h"
#include "sim/raft/witness.h"

namespace cairn::sim {

namespace {

constexpr GroupId kGroup{1};
constexpr size_t kInFlightMax = 300;  ///< messages beyond these are lost
constexpr size_t kLateMax = 60;       ///< that stay away at one time
constexpr size_t kReadsMax = 64;      ///< under way
constexpr int kHealRoundsMax = 6'000;
constexpr int kWorkMax = 1'000;  ///< of one member in a round

class CoreRun {
 public:
  explicit CoreRun(const RaftRunOptions& options)
      : rng_(options.seed), plan_(draw_core_plan(rng_)), verbose_(options.verbose) {
    auto snapshot = std::make_shared<raft::Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    for (uint64_t id = 1; id <= plan_.members_count; ++id) {
      snapshot->metadata.conf_state.voters.push_back(NodeId(id));
    }
    for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
      Member& m = member(id);
      m.is_slow = rng_.chance(plan_.slow_share);
      CHECK(m.storage.apply_snapshot(snapshot).ok());
      start(id);
    }
  }

  RaftOutcome run() {
    RaftOutcome outcome;
    outcome.plan = describe(plan_);
    for (int i = 0; i < plan_.steps_count && is_sound(); ++i) step();
    if (is_sound()) heal_and_check_progress();
    for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
      witness_.look_at_all(kGroup, NodeId(id), *member(id).raw);
    }
    outcome.reason = witness_.violation().empty() ? problem_ : witness_.violation();
    outcome.events_count = inputs_count_;
    outcome.ops_count = proposals_count_;
    outcome.leaderships_count = witness_.leaderships_count();
    for (const auto& [what, times] : counts_) outcome.coverage[what] += times;
    outcome.coverage["runs"] = 1;
    outcome.coverage["core input"] = inputs_count_;
    outcome.coverage["election won"] = witness_.leaderships_count();
    outcome.coverage["entries replaced in a log"] = witness_.truncations_count();
    fingerprint_.mix(witness_.entries_count());
    outcome.fingerprint = fingerprint_.value();
    return outcome;
  }

 private:
  struct Member {
    raft::MemoryStorage storage;
    std::unique_ptr<raft::RawNode> raw;
    std::deque<raft::Message> append_work;
    std::deque<raft::Message> apply_work;
    LogIndex applied;
    raft::ConfState conf_state;
    bool is_slow = false;
  };
  struct Read {
    uint64_t node = 0;
    LogIndex floor;  ///< what anybody had applied when it began
  };

  Member& member(uint64_t id) { return members_.at(id - 1); }
  uint64_t any_core() { return rng_.between(1, plan_.cores_count); }
  bool is_sound() const { return problem_.empty() && witness_.violation().empty(); }
  void count(const char* what) { ++counts_[what]; }
  void note(uint64_t id, const char* what) {
    count(what);
    if (verbose_) std::printf("%8llu node %llu: %s\n", ull(steps_count_), ull(id), what);
  }
  static unsigned long long ull(uint64_t value) { return value; }
  void blame(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  // What is not in storage is gone, and the writes that were under way with it.
  void start(uint64_t id) {
    Member& m = member(id);
    m.append_work.clear();
    m.apply_work.clear();
    const raft::SnapshotPtr snapshot = *m.storage.snapshot();
    m.applied = snapshot->metadata.index;
    m.conf_state = snapshot->metadata.conf_state;
    raft::HardState hard = m.storage.hard_state();
    hard.term = std::max(hard.term, snapshot->metadata.term);
    hard.commit = std::max(hard.commit, m.applied);
    m.storage.set_hard_state(hard);
    raft::Config config = plan_.config;
    config.id = NodeId(id);
    config.storage = &m.storage;
    config.rng = &rng_;
    config.applied = m.applied;
    auto created = raft::RawNode::create(config);
    CHECK(created.ok(), created.ok() ? "" : created.error().message());
    m.raw = std::move(created).value();
    std::erase_if(reads_, [id](const auto& read) { return read.second.node == id; });
  }

  void step() {
    ++steps_count_;
    const uint64_t id = any_core();
    const CoreWeights& w = plan_.weights;
    double left = rng_.unit() * w.sum();
    const auto drawn = [&left](double weight) {
      const bool is_it = left >= 0 && left < weight;
      left -= weight;
      return is_it;
    };
    if (steps_count_ == cut_at_) cut_off_ = std::exchange(cut_to_come_, {});
    if (drawn(w.work)) work(next_that(id, has_work));
    if (drawn(w.deliver)) deliver_some();
    if (drawn(w.tick)) tick(id);
    if (drawn(w.propose)) propose(id);
    if (drawn(w.read)) read(id);
    if (drawn(w.restart)) restart(id);
    if (drawn(w.partition)) partition();
    if (drawn(w.transfer)) transfer(id);
    if (drawn(w.report)) report(id);
    if (drawn(w.compact)) compact(id);
    if (drawn(w.change)) change_members(id);
    if (drawn(w.forget_leader)) member(id).raw->forget_leader();
    member(id).raw->check_invariants();
  }

  static bool leads(const Member& m) { return m.raw->is_leader(); }

  /// The next core from `id` on of which this holds; `id` itself if there is none.
  uint64_t next_that(uint64_t id, bool (*holds)(const Member&)) {
    for (uint64_t i = 0; i < plan_.cores_count; ++i) {
      const uint64_t candidate = (id - 1 + i) % plan_.cores_count + 1;
      if (holds(member(candidate))) return candidate;
    }
    return id;
  }

  void tick(uint64_t id) {
    ++inputs_count_;
    member(id).raw->tick();
  }

  void propose(uint64_t id) {
    ++inputs_count_;
    ++proposals_count_;
    (void)member(id).raw->propose(Buffer::copy_of("p" + std::to_string(proposals_count_)));
  }

  void read(uint64_t id) {
    // What is not answered was lost on the way: its client gives up.
    if (reads_.size() >= kReadsMax) reads_.erase(reads_.begin());
    // Mostly those that believe to lead: what they answer alone is what may be stale.
    if (rng_.chance(0.9)) id = next_that(id, leads);
    ++inputs_count_;
    const uint64_t number = ++reads_count_;
    Buffer context = Buffer::allocate(sizeof(number));
    store(context.mutable_view(), number);
    if (member(id).raw->read_index(std::move(context)).ok()) reads_[number] = {id, applied_max_};
  }

  void take_reads(uint64_t id, const std::vector<raft::ReadState>& states) {
    for (const raft::ReadState& state : states) {
      const auto found = reads_.find(load<uint64_t>(state.context.view()));
      if (found == reads_.end() || found->second.node != id) continue;
      count("read answered");
      if (state.index < found->second.floor) {
        blame("stale read: node " + std::to_string(id) + " was told index " +
              to_string(state.index) + " although " + to_string(found->second.floor) +
              " was applied before it asked");
      }
      reads_.erase(found);
    }
  }

  void restart(uint64_t id) {
    note(id, "restart");
    if (!member(id).append_work.empty()) count("restart that loses writes");
    witness_.look(kGroup, NodeId(id), *member(id).raw);
    start(id);
  }

  void partition() {
    count("partition");
    cut_off_.clear();
    if (rng_.chance(0.3)) return;
    if (rng_.chance(0.6)) {
      // Whoever leads, alone or with one that still hears it.
      for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
        if (member(id).raw->is_leader()) cut_off_.insert(NodeId(id));
      }
      if (rng_.chance(0.5)) cut_off_.insert(NodeId(rng_.between(1, plan_.members_count)));
      return;
    }
    for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
      if (rng_.chance(0.4)) cut_off_.insert(NodeId(id));
    }
  }

  void transfer(uint64_t id) {
    if (!member(id).raw->is_leader()) return;
    note(id, "transfer asked for");
    member(id).raw->transfer_leader(NodeId(any_core()));
  }

  void report(uint64_t id) {
    const NodeId peer(any_core());
    if (rng_.chance(0.5)) {
      member(id).raw->report_unreachable(peer);
    } else {
      member(id).raw->report_snapshot(peer, rng_.chance(0.5));
    }
  }

  void change_members(uint64_t id) {
    const double kind = rng_.unit();
    if (kind < 0.4) return change_at_random(id);
    if (kind < 0.7) return replace_voters(id);
    add_two(id);
  }

  /// One behind the other: the second has to wait, or to become an empty entry. Soon afterwards
  /// those who have learnt of both lose sight of those who have not.
  void add_two(uint64_t id) {
    id = next_that(id, leads);
    std::set<NodeId> side{NodeId(id)};
    for (uint64_t node = 1; node <= plan_.cores_count && side.size() < 3; ++node) {
      const raft::TrackerConfig& config = member(id).raw->config();
      if (config.voters.contains(NodeId(node)) || rng_.chance(0.3)) continue;
      side.insert(NodeId(node));
      propose_change(id, raft::ConfChangeTransition::kAuto,
                     {{.type = raft::ConfChangeType::kAddVoter, .node = NodeId(node)}});
    }
    if (side.size() < 3 || rng_.chance(0.3)) return;
    cut_to_come_ = std::move(side);
    cut_at_ = steps_count_ + rng_.between(10, 300);
  }

  void change_at_random(uint64_t id) {
    std::vector<raft::ConfChangeSingle> changes(rng_.chance(0.5) ? 1 : rng_.between(0, 3));
    for (raft::ConfChangeSingle& single : changes) {
      constexpr raft::ConfChangeType kTypes[] = {
          raft::ConfChangeType::kAddVoter, raft::ConfChangeType::kAddVoter,
          raft::ConfChangeType::kAddLearner, raft::ConfChangeType::kRemove};
      single = {.type = kTypes[rng_.below(4)], .node = NodeId(any_core())};
    }
    const auto transition = static_cast<raft::ConfChangeTransition>(rng_.below(3));
    propose_change(id, transition, std::move(changes));
  }

  /// By others, most of them: the two halves of the joint configuration have little in common.
  void replace_voters(uint64_t id) {
    std::vector<raft::ConfChangeSingle> changes;
    const double share = 0.3 + 0.4 * rng_.unit();
    for (uint64_t node = 1; node <= plan_.cores_count; ++node) {
      const bool stays = rng_.chance(share) || (node == id && rng_.chance(0.7));
      changes.push_back(
          {.type = stays ? raft::ConfChangeType::kAddVoter : raft::ConfChangeType::kRemove,
           .node = NodeId(node)});
    }
    const auto transition = rng_.chance(0.7) ? raft::ConfChangeTransition::kJointImplicit
                                             : raft::ConfChangeTransition::kJointExplicit;
    propose_change(id, transition, std::move(changes));
  }

  void propose_change(uint64_t id, raft::ConfChangeTransition transition,
                      std::vector<raft::ConfChangeSingle> changes) {
    Member& m = member(id);
    if (!m.raw->is_leader()) return;
    const raft::ConfChangeV2 change(transition, std::move(changes));
    if (!m.raw->propose_conf_change(change).ok()) return;
    count("configuration change proposed");
  }

  void compact(uint64_t id) {
    Member& m = member(id);
    if (m.applied <= (*m.storage.snapshot())->metadata.index) return;
    if (m.applied > m.storage.last_index()) return;
    CHECK(m.storage.create_snapshot(m.applied, m.conf_state, {}).ok());
    const LogIndex to = m.applied - rng_.below(3);
    if (to >= m.storage.first_index()) CHECK(m.storage.compact(to).ok());
    note(id, "snapshot taken");
  }

  static bool has_work(const Member& m) {
    return m.raw->has_ready() || !m.append_work.empty() || !m.apply_work.empty();
  }

  // A little of what a member has to do, in an order that storage and apply allow.
  void work(uint64_t id) {
    Member& m = member(id);
    if (m.raw->has_ready()) {
      ++inputs_count_;
      raft::Ready ready = m.raw->ready();
      witness_.look(kGroup, NodeId(id), *m.raw);
      if (!ready.read_states.empty()) take_reads(id, ready.read_states);
      for (raft::Message& message : ready.messages) {
        if (message.to == raft::kAppendThread) {
          m.append_work.push_back(std::move(message));
        } else if (message.to == raft::kApplyThread) {
          m.apply_work.push_back(std::move(message));
        } else {
          send(std::move(message));
        }
      }
    }
    const double chance = m.is_slow ? plan_.write_chance / plan_.slowness : plan_.write_chance;
    if (!m.append_work.empty() && rng_.chance(chance)) write(m);
    if (!m.apply_work.empty() && rng_.chance(chance)) apply(id);
  }

  void write(Member& m) {
    raft::Message work = std::move(m.append_work.front());
    m.append_work.pop_front();
    const raft::HardState state{.term = work.term, .vote = work.vote, .commit = work.commit};
    if (!state.empty()) m.storage.set_hard_state(state);
    if (work.snapshot) {
      count("snapshot installed");
      CHECK(m.storage.apply_snapshot(work.snapshot).ok());
      m.applied = std::max(m.applied, work.snapshot->metadata.index);
      m.conf_state = work.snapshot->metadata.conf_state;
    }
    m.storage.append(work.entries);
    for (raft::Message& response : work.responses) send(std::move(response));
  }

  void apply(uint64_t id) {
    Member& m = member(id);
    raft::Message work = std::move(m.apply_work.front());
    m.apply_work.pop_front();
    for (const raft::Entry& entry : work.entries) {
      if (entry.index <= m.applied) continue;  // a snapshot has overtaken it
      CHECK(entry.index == m.applied + 1, "entries are applied without a gap");
      m.applied = entry.index;
      applied_max_ = std::max(applied_max_, entry.index);
      witness_.on_applied(kGroup, NodeId(id), entry.index, entry.term,
                          RaftWitness::digest_of(entry.type, entry.head.view(), 0));
      if (entry.type == raft::EntryType::kNormal) continue;
      auto change = raft::decode_conf_change(entry.head.view());
      CHECK(change.ok());
      auto configuration = m.raw->apply_conf_change(*change);
      if (!configuration) continue;
      m.conf_state = *configuration;
      note(id, "configuration applied");
      if (!configuration->voters_outgoing.empty()) count("joint configuration applied");
      if (!configuration->learners.empty()) count("configuration with learners applied");
    }
    for (raft::Message& response : work.responses) send(std::move(response));
  }

  // To itself without loss, like a function's return; to others by the network.
  void send(raft::Message message) {
    if (message.to == message.from || raft::is_local_target(message.from)) {
      take(std::move(message));
      return;
    }
    if (in_flight_.size() >= kInFlightMax) return lose(message);
    const bool is_late = !is_healed_ && late_.size() < kLateMax && rng_.chance(plan_.late_share);
    (is_late ? late_ : in_flight_).push_back(std::move(message));
  }

  // What becomes of a snapshot is the one thing that the transport has to report: until it is
  // known, nothing else is sent.
  void lose(const raft::Message& message) {
    count("message lost");
    if (message.type != raft::MessageType::kSnapshot) return;
    member(message.from.value()).raw->report_snapshot(message.to, false);
  }

  void deliver_some() {
    const bool is_late = !late_.empty() && rng_.chance(plan_.late_chance);
    auto& pool = is_late ? late_ : in_flight_;
    if (pool.empty()) return;
    // Mostly in order, sometimes in any.
    const size_t at = rng_.chance(0.7) ? 0 : rng_.below(pool.size());
    raft::Message message = pool[at];
    if (rng_.chance(plan_.repeat)) {
      count("message repeated");
    } else {
      pool.erase(pool.begin() + static_cast<ptrdiff_t>(at));
    }
    // What was under way before the wires were cut arrives all the same.
    const bool is_cut =
        !is_late && cut_off_.contains(message.from) != cut_off_.contains(message.to);
    if (is_cut || rng_.chance(plan_.loss)) return lose(message);
    deliver(std::move(message));
  }

  void deliver(raft::Message message) {
    if (message.type == raft::MessageType::kSnapshot) {
      member(message.from.value()).raw->report_snapshot(message.to, true);
    }
    if (message.type == raft::MessageType::kTimeoutNow) count("transfer ordered");
    if (message.to.value() <= plan_.cores_count) take(std::move(message));
  }

  void take(raft::Message message) {
    ++inputs_count_;
    const uint64_t to = message.to.value();
    const uint64_t index = message.index.value();
    fingerprint_.mix((to << 48) ^ (static_cast<uint64_t>(message.type) << 40) ^ index);
    const Status outcome = member(to).raw->step(std::move(message));
    if (!outcome && outcome.code() == Errc::kCorrupt) {
      blame("node " + std::to_string(to) + ": " + outcome.error().message());
    }
  }

  /// Nothing is lost any more: everybody who belongs to the group must get everywhere.
  void heal_and_check_progress() {
    is_healed_ = true;
    cut_off_.clear();
    for (const raft::Message& message : std::exchange(late_, {})) lose(message);
    for (Member& m : members_) m.is_slow = false;
    const LogIndex target = applied_max_ + 5;
    for (int round = 0; round < kHealRoundsMax; ++round) {
      if (!is_sound() || is_settled(target)) return;
      for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
        if (round % 4 == 0) tick(id);
        if (round < kHealRoundsMax / 2 && round % 8 == 0) propose(id);
        // A joint configuration that is not left by itself.
        if (round % 64 == 0 && member(id).raw->is_leader()) {
          (void)member(id).raw->propose_conf_change(raft::ConfChangeV2());
        }
        const Member& m = member(id);
        // A member that was added since the last snapshot cannot use it: its host takes a new one.
        if (round % 64 == 0) compact(id);
        for (int i = 0; i < kWorkMax && has_work(m); ++i) work(id);
      }
      for (raft::Message& message : std::exchange(in_flight_, {})) deliver(std::move(message));
    }
    blame("liveness: no progress to " + to_string(target) + " after all is healed" +
          describe_members());
  }

  bool is_settled(LogIndex target) {
    Member* leader = nullptr;
    for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
      if (!member(id).raw->is_leader()) continue;
      if (!leader || leader->raw->term() < member(id).raw->term()) leader = &member(id);
    }
    if (!leader || leader->applied < target) return false;
    for (NodeId voter : leader->raw->config().voters.ids()) {
      if (member(voter.value()).applied < target) return false;
    }
    return true;
  }

  std::string describe_members() {
    std::string text;
    for (uint64_t id = 1; id <= plan_.cores_count; ++id) {
      const raft::RaftStatus status = member(id).raw->status();
      text += "\n    node " + std::to_string(id) + " " +
              std::string(raft::to_string(status.soft_state.role)) + " of " +
              to_string(status.soft_state.leader) + " term " + to_string(status.hard_state.term) +
              " commit " + to_string(status.hard_state.commit) + " applied " +
              to_string(member(id).applied) + " last " + to_string(member(id).raw->last_index()) +
              " " + to_string(status.config);
    }
    return text;
  }

  Rng rng_;
  const CorePlan plan_;
  const bool verbose_;
  RaftWitness witness_;
  std::map<const char*, uint64_t> counts_;  ///< by literal
  Fingerprint fingerprint_;
  std::array<Member, kCoresMax> members_;
  std::deque<raft::Message> in_flight_;
  std::deque<raft::Message> late_;
  std::set<NodeId> cut_to_come_;
  uint64_t cut_at_ = 0;
  std::set<NodeId> cut_off_;  ///< on the other side of a partition
  std::map<uint64_t, Read> reads_;
  LogIndex applied_max_;
  std::string problem_;
  bool is_healed_ = false;
  uint64_t proposals_count_ = 0;
  uint64_t reads_count_ = 0;
  uint64_t inputs_count_ = 0;
  uint64_t steps_count_ = 0;
};

}  // namespace

RaftOutcome run_core_seed(const RaftRunOptions& options) {
  return std::make_unique<CoreRun>(options)->run();
}

}  // namespace cairn::sim
