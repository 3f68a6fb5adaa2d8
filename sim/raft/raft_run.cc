#include "sim/raft/raft_run.h"

#include "sim/check/replicas.h"
#include "sim/io/print_sink.h"
#include "sim/raft/raft_nemesis.h"
#include "sim/raft/register_load.h"

namespace cairn::sim {

namespace {

constexpr uint16_t kPort = 8300;
// Budgets of virtual time, in election timeouts; exceeding one means stuck, not slow. A connection
// that was cut may take a few timeouts to be given up and made anew.
constexpr int kFormingMax = 100;
constexpr int kDrainMax = 100;
constexpr int kOrderMax = 300;
constexpr int kServiceMax = 100;
constexpr int kConvergeMax = 100;

class RaftRun {
 public:
  explicit RaftRun(const RaftRunOptions& options)
      : world_(options.seed),
        sink_(world_),
        plan_(draw_raft_plan(world_.rng(), options.quiet)),
        context_{.plan = plan_, .witness = witness_, .coverage = coverage_} {
    if (options.verbose) {
      world_.set_log(&sink_, options.debug ? LogLevel::kDebug : LogLevel::kInfo);
    }
    world_.fabric().set_frame_codec(raft_sim_frame_codec());
    make_members();
    load_ = std::make_unique<RegisterLoad>(world_, members_, context_);
    operator_ = std::make_unique<RaftOperator>(world_, members_, context_);
    nemesis_ = std::make_unique<RaftNemesis>(world_, members_, context_, *operator_);
    look_again();
  }
  ~RaftRun() { world_.cancel(next_look_); }

  RaftOutcome run() {
    RaftOutcome outcome;
    const Instant begin = world_.now();
    outcome.plan = describe(plan_);
    outcome.reason = first_failure();
    outcome.simulated_seconds = std::chrono::duration<double>(world_.now() - begin).count();
    outcome.events_count = world_.events_count();
    outcome.ops_count = load_->ops_count();
    outcome.failed_ops_count = load_->failed_ops_count();
    outcome.strikes_count = nemesis_->strikes_count();
    outcome.leaderships_count = witness_.leaderships_count();
    outcome.fingerprint = fingerprint();
    take_coverage();
    outcome.coverage = coverage_;
    return outcome;
  }

 private:
  void make_members() {
    multiraft::PeerDirectory peers;
    std::vector<Host*> hosts;
    for (uint32_t i = 1; i <= plan_.hosts_count; ++i) {
      HostOptions options;
      if (const int64_t drift = plan_.faults.drift_ppm_max; drift > 0) {
        const auto range = static_cast<uint64_t>(2 * drift);
        options.clock_drift_ppm = static_cast<int64_t>(world_.rng().between(0, range)) - drift;
      }
      hosts.push_back(&world_.add_host("n" + std::to_string(i), options));
      hosts.back()->disk("disk", plan_.disk);
      peers.set(NodeId(i), hosts.back()->address(kPort));
    }
    for (uint32_t i = 0; i < plan_.hosts_count; ++i) {
      members_.push_back(std::make_unique<RaftMember>(*hosts[i], NodeId(i + 1), peers, context_));
      members_.back()->start();
    }
  }

  void look_again() {
    for (auto& member : members_) member->look();
    next_look_ = world_.after(plan_.timeout() / 32, [this] { look_again(); });
  }

  Duration timeouts(int count) const { return count * plan_.timeout(); }

  std::string first_failure() {
    using Phase = std::string (RaftRun::*)();
    for (const Phase phase :
         {&RaftRun::form, &RaftRun::chaos, &RaftRun::drain, &RaftRun::put_in_order, &RaftRun::serve,
          &RaftRun::converge, &RaftRun::check_history}) {
      std::string failure = (this->*phase)();
      // What was violated says more than what came of it.
      if (!witness_.violation().empty()) return witness_.violation();
      if (!context_.problem.empty()) return context_.problem;
      if (!failure.empty()) return failure + member_states();
    }
    return "";
  }

  std::string form() {
    const auto is_formed = [this] {
      return std::ranges::all_of(members_, [](auto& member) { return member->has_started(); });
    };
    if (world_.run_until(is_formed, timeouts(kFormingMax))) return "";
    return "the groups are not formed";
  }

  std::string chaos() {
    load_->begin();
    nemesis_->begin();
    // In pieces: nothing that comes after a violation is worth its time.
    const Instant until = world_.now() + plan_.chaos;
    while (world_.now() < until && witness_.violation().empty() && context_.problem.empty()) {
      world_.run_for(std::min(plan_.timeout(), until - world_.now()));
    }
    nemesis_->heal();
    return "";
  }

  std::string drain() {
    world_.run_for(plan_.timeout());
    load_->stop();
    const auto pending = [this] { return load_->pending_count() + operator_->pending_count(); };
    if (world_.run_until([&] { return pending() == 0; }, timeouts(kDrainMax))) return "";
    return "liveness: " + std::to_string(load_->pending_count()) + " operations and " +
           std::to_string(operator_->pending_count()) + " orders do not end after all is healed";
  }

  std::string put_in_order() {
    const std::string failure = operator_->put_in_order(timeouts(kOrderMax));
    return failure.empty() ? "" : "liveness: the members are not put in order: " + failure;
  }

  std::string serve() {
    for (const RaftGroupShape& group : plan_.groups) {
      std::string failure = load_->prove_service(group.id, timeouts(kServiceMax));
      if (!failure.empty()) {
        return "liveness: group " + to_string(group.id) + " makes no progress: " + failure;
      }
    }
    return "";
  }

  /// What keeps the group's members apart; nothing if they have all reached the same state.
  std::string difference_in(const RaftGroupShape& group) {
    const RegisterMachine* first = nullptr;
    LogIndex first_applied;
    const raft::ConfState& members = witness_.newest_configuration(group.id).members;
    const auto belongs = [&](NodeId node) {
      return std::ranges::count(members.voters, node) + std::ranges::count(members.learners, node);
    };
    for (auto& member : members_) {
      if (belongs(member->self()) == 0) continue;
      if (member->raft() && member->raft()->out_of_service().contains(group.id)) continue;
      multiraft::Node* node = member->node(group.id);
      // The victim's log may be beyond reading as a whole.
      if (!node && member->is_corrupted()) continue;
      if (!node) return member->host().name() + " does not serve group " + to_string(group.id);
      const multiraft::NodeStatus status = node->status();
      if (!status.error.empty()) return status.error;
      if (status.applied != status.last) return member->host().name() + " has more to apply";
      const RegisterMachine* machine = member->machine(group.id);
      if (first && first_applied != status.applied) {
        return "applied " + to_string(first_applied) + " here and " + to_string(status.applied) +
               " there";
      }
      if (first && first->registers() != machine->registers()) {
        return "the registers differ at " + to_string(status.applied);
      }
      first = machine;
      first_applied = status.applied;
    }
    return "";
  }

  std::string converge() {
    std::string difference;
    const auto is_converged = [&] {
      for (const RaftGroupShape& group : plan_.groups) {
        difference = difference_in(group);
        if (!difference.empty()) return false;
      }
      return true;
    };
    const Instant until = world_.now() + timeouts(kConvergeMax);
    while (!is_converged()) {
      if (world_.now() >= until) return "the members do not converge: " + difference;
      world_.run_for(plan_.timeout() / 2);
    }
    for (auto& member : members_) member->look(/*at_all=*/true);
    return "";
  }

  std::string check_history() { return load_->check(); }

  /// Where every member stands, for the report of a failure.
  std::string member_states() {
    std::string text;
    for (auto& member : members_) {
      text += "\n    " + member->host().name();
      if (!member->has_started()) text += " has not started " + member->start_error();
      if (!member->raft()) continue;
      const wal::Wal& log = member->raft()->log();
      text += " log " + std::to_string(log.log_bytes()) + " of " +
              std::to_string(plan_.wal.wal_bytes_max) + " bytes, " +
              std::to_string(log.live_bytes()) + " live";
      if (Status room = log.admit(wal::Intake::kReplication); !room) {
        text += ", refuses: " + room.error().message();
      }
      for (const auto& [group, reason] : member->raft()->out_of_service()) {
        text += "\n      group " + to_string(group) + " is out of service: " + reason;
      }
      for (const auto& [group, node] : member->raft()->nodes()) {
        const multiraft::NodeStatus status = node->status();
        const auto& config = node->core().config();
        text += "\n      group " + to_string(group) + " of " + raft::to_string(config) +
                (status.is_leader ? " leads" : " follows " + to_string(status.leader)) + " term " +
                to_string(status.term) + " log " + to_string(status.first) + ".." +
                to_string(status.last) + " committed " + to_string(status.committed) + " applied " +
                to_string(status.applied) + " snapshot " + to_string(status.snapshot) +
                (status.error.empty() ? "" : " error " + status.error);
        if (!status.is_leader) continue;
        for (const NodeId peer : config.voters.ids()) {
          const raft::Progress* progress = node->core().progress(peer);
          if (progress) text += "\n        " + to_string(peer) + ": " + to_string(*progress);
        }
      }
    }
    return text;
  }

  uint64_t fingerprint() {
    Fingerprint fingerprint;
    fingerprint.mix(world_.trace_hash());
    fingerprint.mix(static_cast<uint64_t>(world_.now().time_since_epoch().count()));
    fingerprint.mix(load_->ops_count());
    fingerprint.mix(witness_.entries_count());
    for (auto& member : members_) fingerprint.mix(member->host().disk().hash());
    return fingerprint.value();
  }

  void take_coverage() {
    coverage_["runs"] = 1;
    coverage_["election won"] += witness_.leaderships_count();
    coverage_["entries replaced in a log"] += witness_.truncations_count();
    coverage_["entry seen in a log"] += witness_.entries_count();
    coverage_["operation"] += load_->ops_count();
    const FabricCounters& wires = world_.fabric().counters();
    coverage_["frame dropped"] += wires.frames_dropped;
    coverage_["frame repeated"] += wires.frames_duplicated;
    coverage_["frame delayed"] += wires.frames_delayed;
    coverage_["connection broken"] += wires.connections_broken;
    for (auto& member : members_) {
      coverage_["disk error injected"] += member->host().disk().counters().errors_injected;
      if (!member->raft()) continue;
      coverage_["log segment recycled"] += member->raft()->log().stats().segments_recycled;
      coverage_["log record moved"] += member->raft()->log().stats().moved_records;
    }
  }

  World world_;
  PrintSink sink_;
  const RaftPlan plan_;
  RaftWitness witness_;
  Coverage coverage_;
  RunContext context_;
  std::vector<std::unique_ptr<RaftMember>> members_;
  std::unique_ptr<RegisterLoad> load_;
  std::unique_ptr<RaftOperator> operator_;
  std::unique_ptr<RaftNemesis> nemesis_;
  EventId next_look_ = 0;
};

}  // namespace

RaftOutcome run_raft_seed(const RaftRunOptions& options) {
  return std::make_unique<RaftRun>(options)->run();
}

}  // namespace cairn::sim
