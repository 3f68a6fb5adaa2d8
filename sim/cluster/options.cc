#include "sim/cluster/options.h"

#include <charconv>

namespace cairn::sim {

namespace {

struct BugEntry {
  const char* name;
  PlantedBug bug;
  Profile profile;  ///< the one that looks for it unless told otherwise
  /// Whether --planted does: not for what this shape of the profile does not find within 500 seeds.
  bool is_hunted = true;
};
constexpr BugEntry kBugs[] = {
    {"none", PlantedBug::kNone, Profile::kCluster},
    {"ack-before-flush", PlantedBug::kAckBeforeFlush, Profile::kCluster},
    {"forget-vote", PlantedBug::kForgetVote, Profile::kCluster},
    {"read-without-lease", PlantedBug::kReadWithoutLease, Profile::kCluster},
    {"lease-after-transfer", PlantedBug::kLeaseAfterTransfer, Profile::kRaft, false},
    {"vote-guard-forgotten", PlantedBug::kVoteGuardForgotten, Profile::kRaft, false},
    {"change-forgotten", PlantedBug::kChangeForgotten, Profile::kRaft, false},
    {"blank-counts", PlantedBug::kBlankCounts, Profile::kRaft},
    {"read-before-term", PlantedBug::kReadBeforeTerm, Profile::kRaft},
    {"vote-not-restored", PlantedBug::kVoteNotRestored, Profile::kRaft},
    {"quarantine-ignored", PlantedBug::kQuarantineIgnored, Profile::kRaft},
    {"bond-of-any-epoch", PlantedBug::kBondOfAnyEpoch, Profile::kRaft, false},
    {"vouch-kept", PlantedBug::kVouchKept, Profile::kRaft},
    {"rest-unacknowledged", PlantedBug::kRestUnacknowledged, Profile::kRaft},
    {"snapshot-in-batch", PlantedBug::kSnapshotInBatch, Profile::kRaft},
    {"vote-twice", PlantedBug::kVoteTwice, Profile::kRaft},
    {"vote-for-shorter-log", PlantedBug::kVoteForShorterLog, Profile::kRaft},
    {"lead-before-own-vote", PlantedBug::kLeadBeforeOwnVote, Profile::kCore, false},
    {"duplicate-votes", PlantedBug::kDuplicateVotes, Profile::kCore},
    {"commit-old-term", PlantedBug::kCommitOldTerm, Profile::kCore},
    {"commit-with-heartbeat", PlantedBug::kCommitWithHeartbeat, Profile::kRaft},
    {"truncate-after-append", PlantedBug::kTruncateAfterAppend, Profile::kRaft},
    {"stale-append-ack", PlantedBug::kStaleAppendAck, Profile::kCore, false},
    {"change-without-joint", PlantedBug::kChangeWithoutJoint, Profile::kCore},
    {"campaign-unapplied", PlantedBug::kCampaignUnapplied, Profile::kCore, false},
    {"stale-storage-ack", PlantedBug::kStaleStorageAck, Profile::kCore},
    {"snapshot-over-log", PlantedBug::kSnapshotOverLog, Profile::kCore},
    {"two-conf-changes", PlantedBug::kTwoConfChanges, Profile::kCore},
    {"joint-by-one-half", PlantedBug::kJointByOneHalf, Profile::kCore},
    {"learner-counts", PlantedBug::kLearnerCounts, Profile::kCore},
    {"read-ack-of-any-round", PlantedBug::kReadAckOfAnyRound, Profile::kCore, false},
    {"ack-out-of-order", PlantedBug::kAckOutOfOrder, Profile::kRaft},
    {"torn-tail-accepted", PlantedBug::kTornTailAccepted, Profile::kRaft},
    {"truncation-forgotten", PlantedBug::kTruncationForgotten, Profile::kRaft},
    {"fence-not-ordered", PlantedBug::kFenceNotOrdered, Profile::kFence},
    {"read-unfenced", PlantedBug::kReadUnfenced, Profile::kFence},
};
constexpr std::pair<const char*, Profile> kProfiles[] = {
    {"cluster", Profile::kCluster}, {"quiet", Profile::kQuiet}, {"crash", Profile::kCrash},
    {"network", Profile::kNetwork}, {"core", Profile::kCore},   {"raft", Profile::kRaft},
    {"fence", Profile::kFence},     {"heal", Profile::kHeal},
};
constexpr uint64_t kBugSeedsCount = 500;

template <typename Table>
auto look_up(const Table& table, const std::string& name, const char* what)
    -> Result<decltype(table[0].second)> {
  std::string known;
  for (const auto& [candidate, value] : table) {
    if (name == candidate) return value;
    known += std::string(" ") + candidate;
  }
  return error(Errc::kInvalidArgument,
               std::string("unknown ") + what + " '" + name + "'; there are:" + known);
}

Result<BugEntry> look_up_bug(const std::string& name) {
  std::string known;
  for (const BugEntry& candidate : kBugs) {
    if (name == candidate.name) return candidate;
    known += std::string(" ") + candidate.name;
  }
  return error(Errc::kInvalidArgument, "unknown bug '" + name + "'; there are:" + known);
}

Result<uint64_t> parse_number(const std::string& text, const std::string& option) {
  uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) {
    return error(Errc::kInvalidArgument, option + " wants a number, not '" + text + "'");
  }
  return value;
}

/// One option that takes a value.
Status take_value(SimOptions& options, const std::string& option, const std::string& value) {
  if (option == "--profile") {
    options.run.profile = TRY(look_up(kProfiles, value, "profile"));
    options.is_profile_named = true;
  } else if (option == "--bug") {
    const BugEntry entry = TRY(look_up_bug(value));
    options.run.bug = entry.bug;
    if (!options.is_profile_named) options.run.profile = entry.profile;
  } else if (option == "--seeds") {
    options.seeds_count = TRY(parse_number(value, option));
    options.is_single = false;
  } else if (option == "--start") {
    options.run.seed = TRY(parse_number(value, option));
  } else if (option == "--jobs") {
    const uint64_t jobs_count = TRY(parse_number(value, option));
    if (jobs_count < 1 || jobs_count > 256) {
      return error(Errc::kInvalidArgument, "--jobs wants 1 to 256");
    }
    options.jobs_count = static_cast<uint32_t>(jobs_count);
  } else if (option == "--repeat") {
    options.repeat_share = static_cast<double>(TRY(parse_number(value, option))) / 100.0;
  } else {
    return error(Errc::kInvalidArgument, "unknown option " + option + "; see --help");
  }
  return ok();
}

}  // namespace

Result<SimOptions> parse_options(const std::vector<std::string>& arguments) {
  SimOptions options;
  options.run.seed = 1;
  bool is_seed_named = false;
  bool is_count_named = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.wants_help = true;
    } else if (argument == "--verbose" || argument == "-v") {
      options.run.verbose = true;
    } else if (argument == "--planted") {
      options.all_planted = true;
    } else if (argument == "--debug") {
      options.run.verbose = options.run.debug = true;
    } else if (argument.starts_with("-")) {
      if (i + 1 == arguments.size()) {
        return error(Errc::kInvalidArgument, argument + " is unknown or wants a value; see --help");
      }
      is_count_named = is_count_named || argument == "--seeds";
      TRY(take_value(options, argument, arguments[++i]));
    } else {
      options.run.seed = TRY(parse_number(argument, "the seed"));
      is_seed_named = true;
    }
  }
  if (options.all_planted && !is_count_named) options.seeds_count = kBugSeedsCount;
  if (is_seed_named && is_count_named) {
    return error(Errc::kInvalidArgument, "name one seed, or --seeds N [--start S]");
  }
  if (options.run.bug != PlantedBug::kNone && !is_seed_named && !is_count_named) {
    options.seeds_count = kBugSeedsCount;
    options.is_single = false;
  }
  return options;
}

std::vector<std::pair<PlantedBug, Profile>> planted_bugs() {
  std::vector<std::pair<PlantedBug, Profile>> bugs;
  for (const BugEntry& entry : kBugs) {
    if (entry.bug != PlantedBug::kNone && entry.is_hunted)
      bugs.emplace_back(entry.bug, entry.profile);
  }
  return bugs;
}

std::string name_of(PlantedBug bug) {
  for (const BugEntry& entry : kBugs) {
    if (entry.bug == bug) return entry.name;
  }
  CHECK(false);
}

std::string name_of(Profile profile) {
  for (const auto& [name, value] : kProfiles) {
    if (value == profile) return name;
  }
  CHECK(false);
}

std::string replay_command(const RunOptions& options) {
  std::string command = "./dev sim " + std::to_string(options.seed);
  if (options.profile != Profile::kCluster || options.bug != PlantedBug::kNone)
    command += " --profile " + name_of(options.profile);
  if (options.bug != PlantedBug::kNone) command += " --bug " + name_of(options.bug);
  return command + " --verbose";
}

std::string usage() {
  return R"(usage: ./dev sim SEED [OPTIONS]
       ./dev sim --seeds N [--start S] [OPTIONS]
       ./dev sim --planted [--seeds N] [--jobs J]

Runs a cluster (a metadata server, five chunkservers, clients) in one thread with virtual time,
under the faults that the seed draws, and checks that it lost nothing: docs/simulation.md.

  SEED              run this seed; 1 unless told
  --seeds N         run N seeds, each in a process of its own
  --start S         the first of them; default 1
  --jobs J          so many at once; default 1
  --profile NAME    which faults may exist: cluster (all; default), crash, network, quiet (none);
                    raft (all, at Raft groups without servers), core (bare
                    Raft cores), fence (two clients take a volume away from each other,
                    25 rounds a seed, under all faults), heal (three MDS; chunkservers are added,
                    drained and lost, disks fill and rot, under all faults)
  --bug NAME        plant a known bug and look for a seed that finds it, up to 500 unless told:
                    docs/simulation.md lists them
  --planted         the same with every bug, one after the other, each under the profile that is
                    known to find it; fails if one is not found
  --repeat PERCENT  of the seeds are run twice and compared; default 5
  --verbose         print what happens, with its virtual time
  --debug           the same with everything that the servers log

Ends with 0 if every seed passed (with --bug: if the bug was found), else with 1.
)";
}

}  // namespace cairn::sim
