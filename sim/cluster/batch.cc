#include "sim/cluster/batch.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/rng.h"

namespace cairn::sim {

namespace {

// A seed that takes longer hangs. It is the work that counts: a busy machine makes none of it.
constexpr rlim_t kCpuSecondsMax = 60;
constexpr unsigned kRealSecondsMax = 900;  ///< for one that waits for something
constexpr size_t kReportBytesMax =
    32'000;  ///< fits into a pipe: a child never waits for its reader

struct Job {
  RunOptions options;
  bool is_repetition = false;
  int report_fd = -1;
};

struct Totals {
  uint64_t passed_count = 0;
  uint64_t failed_count = 0;
  uint64_t repeated_count = 0;
  uint64_t ops_count = 0;
  uint64_t strikes_count = 0;
  double simulated_seconds = 0;
  Coverage coverage;
  Coverage covering_seeds;  ///< in how many seeds each occurred
};

/// "name=count;name=count;"
std::string serialize(const Coverage& coverage) {
  std::string text;
  for (const auto& [name, count] : coverage) text += name + "=" + std::to_string(count) + ";";
  return text;
}

void add_coverage(const std::string& text, Coverage& to) {
  for (size_t at = 0; at < text.size();) {
    const size_t equals = text.find('=', at);
    const size_t end = text.find(';', at);
    if (equals == std::string::npos || end == std::string::npos) return;
    to[text.substr(at, equals - at)] += std::strtoull(text.c_str() + equals + 1, nullptr, 10);
    at = end + 1;
  }
}

std::string serialize(const Outcome& outcome) {
  std::string text =
      std::to_string(outcome.passed) + " " + std::to_string(outcome.fingerprint) + " " +
      std::to_string(outcome.simulated_seconds) + " " + std::to_string(outcome.ops_count) + " " +
      std::to_string(outcome.strikes_count) + " " + std::to_string(outcome.events_count) + "\n" +
      serialize(outcome.coverage) + "\n" + outcome.plan + "\n" + outcome.reason;
  if (text.size() > kReportBytesMax) text.resize(kReportBytesMax);
  return text;
}

bool deserialize(const std::string& text, Outcome& outcome) {
  int passed = 0;
  unsigned long long fingerprint = 0, ops = 0, strikes = 0, events = 0;
  if (std::sscanf(text.c_str(), "%d %llu %lf %llu %llu %llu", &passed, &fingerprint,
                  &outcome.simulated_seconds, &ops, &strikes, &events) != 6) {
    return false;
  }
  outcome.passed = passed == 1;
  outcome.fingerprint = fingerprint;
  outcome.ops_count = ops;
  outcome.strikes_count = strikes;
  outcome.events_count = events;
  const size_t coverage_at = text.find('\n') + 1;
  const size_t plan_at = text.find('\n', coverage_at) + 1;
  add_coverage(text.substr(coverage_at, plan_at - coverage_at - 1), outcome.coverage);
  const size_t reason_at = text.find('\n', plan_at) + 1;
  outcome.plan = text.substr(plan_at, reason_at - plan_at - 1);
  outcome.reason = text.substr(reason_at);
  return true;
}

/// Other addresses for everything, so that a run that depends on them differs from its repetition.
void shuffle_memory(uint64_t seed) {
  Rng rng(seed);
  std::vector<void*> kept;
  for (int i = 0; i < 2000; ++i) kept.push_back(std::malloc(rng.between(16, 20'000)));
  for (void* memory : kept) {
    if (rng.chance(0.5)) std::free(memory);
  }
}

std::string describe_death(int status) {
  if (WIFSIGNALED(status)) return std::string(strsignal(WTERMSIG(status))) + ", see above";
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

std::string why_without_outcome(int status) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGXCPU) {
    return "did not end within " + std::to_string(kCpuSecondsMax) + " s of CPU";
  }
  if (signal == SIGALRM) {
    return "did not end within " + std::to_string(kRealSecondsMax) + " real s";
  }
  return "the process died (" + describe_death(status) + ")";
}

[[noreturn]] void run_child(const Job& job, int report_fd) {
  const rlimit cpu{.rlim_cur = kCpuSecondsMax, .rlim_max = kCpuSecondsMax + 5};
  setrlimit(RLIMIT_CPU, &cpu);
  alarm(kRealSecondsMax);
  if (job.is_repetition) shuffle_memory(job.options.seed);
  const std::string report = serialize(run_seed(job.options));
  for (size_t done = 0; done < report.size();) {
    const ssize_t wrote = write(report_fd, report.data() + done, report.size() - done);
    if (wrote <= 0) _exit(3);
    done += static_cast<size_t>(wrote);
  }
  std::fflush(stdout);  // what was logged
  _exit(0);
}

std::string read_all(int fd) {
  std::string text;
  char chunk[4096];
  for (;;) {
    const ssize_t got = read(fd, chunk, sizeof(chunk));
    if (got <= 0) return text;
    text.append(chunk, static_cast<size_t>(got));
  }
}

class Batch {
 public:
  explicit Batch(const SimOptions& options) : options_(options) {}

  int run() {
    const auto begin = now();
    run_seeds();
    return report(now() - begin);
  }

  /// Looks for a seed that finds the planted bug, and prints one line; whether there is one.
  bool hunt() {
    is_terse_ = true;
    const auto begin = now();
    run_seeds();
    std::printf(
        "%-24s %-8s %6s %6.1f s  %s\n", name_of(options_.run.bug).c_str(),
        name_of(options_.run.profile).c_str(),
        found_seed_ ? std::to_string(ended_count_).c_str() : "-", now() - begin,
        found_seed_ ? first_reason_.substr(0, first_reason_.find('\n')).c_str() : "NOT found");
    std::fflush(stdout);
    return found_seed_.has_value();
  }

 private:
  void run_seeds() {
    uint64_t next = 0;
    while (true) {
      while (running_.size() < options_.jobs_count && next < options_.seeds_count && !is_over()) {
        start(options_.run.seed + next++);
      }
      if (running_.empty()) break;
      finish_one();
    }
  }

  static double now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
  bool hunts() const { return options_.run.bug != PlantedBug::kNone; }
  /// Evenly over the seeds: with 5 %, one of every twenty.
  bool is_repeated(uint64_t seed) const {
    const auto share_up_to = [this](uint64_t n) {
      return static_cast<uint64_t>(static_cast<double>(n) * options_.repeat_share);
    };
    return share_up_to(seed + 1) != share_up_to(seed);
  }
  bool is_over() const { return hunts() && found_seed_; }

  void start(uint64_t seed) {
    Job job{options_.run, false, -1};
    job.options.seed = seed;
    launch(job);
  }

  void launch(Job job) {
    int ends[2];
    CHECK(pipe(ends) == 0, "a pipe can be made");
    std::fflush(nullptr);
    const pid_t child = fork();
    CHECK(child >= 0, "a process can be made");
    if (child == 0) {
      close(ends[0]);
      // What dies of a planted bug need not say so.
      if (is_terse_ && !std::freopen("/dev/null", "w", stderr)) _exit(3);
      run_child(job, ends[1]);
    }
    close(ends[1]);
    job.report_fd = ends[0];
    running_[child] = job;
  }

  void finish_one() {
    int status = 0;
    const pid_t child = wait(&status);
    const auto found = running_.find(child);
    if (found == running_.end()) return;
    const Job job = found->second;
    running_.erase(found);
    const std::string text = read_all(job.report_fd);
    close(job.report_fd);
    Outcome outcome;
    if (!deserialize(text, outcome)) {
      outcome.reason = why_without_outcome(status);
    }
    judge(job, outcome);
    if (!job.is_repetition && ++ended_count_ % 100 == 0 && !is_terse_) {
      std::printf("%llu seeds have run\n", static_cast<unsigned long long>(ended_count_));
      std::fflush(stdout);
    }
  }

  void judge(const Job& job, Outcome& outcome) {
    const uint64_t seed = job.options.seed;
    if (job.is_repetition) {
      ++totals_.repeated_count;
      if (outcome.fingerprint == fingerprints_[seed]) {
        ++totals_.passed_count;
        return;
      }
      outcome.reason = "two runs of this seed differ";
      fail(job, outcome);
      return;
    }
    totals_.simulated_seconds += outcome.simulated_seconds;
    totals_.ops_count += outcome.ops_count;
    totals_.strikes_count += outcome.strikes_count;
    for (const auto& [name, count] : outcome.coverage) {
      totals_.coverage[name] += count;
      totals_.covering_seeds[name] += count > 0;
    }
    if (!outcome.passed) {
      fail(job, outcome);
      return;
    }
    if (is_repeated(seed) && !hunts()) {
      fingerprints_[seed] = outcome.fingerprint;
      Job again = job;
      again.is_repetition = true;
      launch(again);
      return;
    }
    ++totals_.passed_count;
  }

  void fail(const Job& job, const Outcome& outcome) {
    ++totals_.failed_count;
    if (!found_seed_) {
      found_seed_ = job.options.seed;
      first_reason_ = outcome.reason;
    }
    if (is_terse_) return;
    std::printf("FAIL seed %llu: %s\n  plan: %s\n  replay: %s\n",
                static_cast<unsigned long long>(job.options.seed), outcome.reason.c_str(),
                outcome.plan.c_str(), replay_command(job.options).c_str());
    std::fflush(stdout);
  }

  /// What never occurs is not tested: it is seen here.
  void print_coverage() const {
    if (totals_.coverage.empty() || hunts()) return;
    std::printf("%-36s %12s %10s\n", "what occurred", "times", "in seeds");
    for (const auto& [name, count] : totals_.coverage) {
      std::printf("  %-34s %12llu %10llu\n", name.c_str(), static_cast<unsigned long long>(count),
                  static_cast<unsigned long long>(totals_.covering_seeds.at(name)));
    }
  }

  int report(double wall_seconds) {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    const double cpu_seconds =
        static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
        static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    std::printf(
        "%.0f simulated seconds, %llu operations, %llu faults in %.1f s (%.1f s of CPU): "
        "%.0f simulated seconds per wall second, %.0f per second of one core\n",
        totals_.simulated_seconds, static_cast<unsigned long long>(totals_.ops_count),
        static_cast<unsigned long long>(totals_.strikes_count), wall_seconds, cpu_seconds,
        totals_.simulated_seconds / wall_seconds, totals_.simulated_seconds / cpu_seconds);
    std::printf("%llu seeds were run twice and compared\n",
                static_cast<unsigned long long>(totals_.repeated_count));
    if (const auto inputs = totals_.coverage.find("core input"); inputs != totals_.coverage.end()) {
      std::printf("%.2f million inputs of cores per second of one core\n",
                  static_cast<double>(inputs->second) / cpu_seconds * 1e-6);
    }
    print_coverage();
    if (hunts()) {
      const uint64_t tried = totals_.passed_count + totals_.failed_count;
      if (found_seed_) {
        std::printf(
            "bug %s: found by seed %llu, after %llu seeds\n", name_of(options_.run.bug).c_str(),
            static_cast<unsigned long long>(*found_seed_), static_cast<unsigned long long>(tried));
      } else {
        std::printf("bug %s: NOT found in %llu seeds\n", name_of(options_.run.bug).c_str(),
                    static_cast<unsigned long long>(tried));
      }
    }
    std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(totals_.passed_count),
                static_cast<unsigned long long>(totals_.failed_count));
    return hunts() == found_seed_.has_value() ? 0 : 1;
  }

  const SimOptions options_;
  std::map<pid_t, Job> running_;
  std::map<uint64_t, uint64_t> fingerprints_;  ///< of the first run of a seed that is repeated
  Totals totals_;
  uint64_t ended_count_ = 0;
  std::optional<uint64_t> found_seed_;  ///< the first that failed
  std::string first_reason_;
  bool is_terse_ = false;
};

/// A CHECK that fails in a run still has to name its seed.
uint64_t running_seed = 0;
void on_abort(int) {
  char text[64];
  const int bytes = std::snprintf(text, sizeof(text), "FAIL seed %llu: the process died\n",
                                  static_cast<unsigned long long>(running_seed));
  if (write(STDOUT_FILENO, text, static_cast<size_t>(bytes)) < 0) _exit(3);
}

}  // namespace

int run_batch(const SimOptions& options) {
  return Batch(options).run();
}

int run_planted(const SimOptions& options) {
  std::printf("%-24s %-8s %6s\n", "planted bug", "profile", "seeds");
  size_t missed_count = 0;
  const auto bugs = planted_bugs();
  for (const auto& [bug, profile] : bugs) {
    SimOptions hunt = options;
    hunt.run.bug = bug;
    hunt.run.profile = profile;
    if (!Batch(hunt).hunt()) ++missed_count;
  }
  std::printf("%zu planted bugs, %zu not found\n", bugs.size(), missed_count);
  return missed_count == 0 ? 0 : 1;
}

int run_single(const SimOptions& options) {
  running_seed = options.run.seed;
  std::signal(SIGABRT, on_abort);
  const Outcome outcome = run_seed(options.run);
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(options.run.seed),
              outcome.plan.c_str());
  std::printf(
      "%.1f simulated seconds, %llu events, %llu operations (%llu failed), %llu faults, "
      "%llu leaderships, %.2f s with two leaders at once, fingerprint %016llx\n",
      outcome.simulated_seconds, static_cast<unsigned long long>(outcome.events_count),
      static_cast<unsigned long long>(outcome.ops_count),
      static_cast<unsigned long long>(outcome.failed_ops_count),
      static_cast<unsigned long long>(outcome.strikes_count),
      static_cast<unsigned long long>(outcome.leaderships_count), outcome.overlap_seconds,
      static_cast<unsigned long long>(outcome.fingerprint));
  if (!outcome.passed) {
    std::printf("FAIL seed %llu: %s\n  replay: %s\n",
                static_cast<unsigned long long>(options.run.seed), outcome.reason.c_str(),
                replay_command(options.run).c_str());
  }
  std::printf("%d passed, %d failed\n", outcome.passed, !outcome.passed);
  const bool hunts = options.run.bug != PlantedBug::kNone;
  return outcome.passed != hunts ? 0 : 1;
}

}  // namespace cairn::sim
