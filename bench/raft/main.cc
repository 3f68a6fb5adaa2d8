/// bench/raft: the library under others' state machines: three processes on loopback, each with a
/// log on a real disk, 4 KiB commands through the public face of multiraft.
///
///   throughput   10 and 1,000 groups written to, in turn, the same number of commands under way;
///                each group has users of its own, who wait for one command before the next
///   idle         1,000 groups that nobody uses: CPU, bytes sent, memory
///   failover     kill -9 of the member that leads most; until each group's new leader has a
///                command of its own term acknowledged
/// Prints "ok" or "MISS" for each target and ends with 1 if one is missed.
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "bench/raft/member.h"
#include "bench/raft/members.h"

namespace cairn::bench {
namespace {

struct Options {
  std::string directory = ".";
  uint64_t groups = 1000;
  uint64_t few_groups = 10;
  uint64_t depth = 4096;
  double seconds = 3;
  int rounds = 3;
  int kills = 6;
  std::string only;  ///< one phase; empty: all
  bool json = false;
  /// As in multiraft's HostOptions, which the members use.
  double election_timeout_s = 0.8;
};

struct MemberState {
  uint64_t groups = 0, leads = 0, cpu_us = 0, resident_bytes = 0, sent_bytes = 0, applied = 0;
  uint64_t awake = 0;  ///< groups that are not quiet
};

struct LoadResult {
  double rate = 0;    ///< commands a second, all members
  double cpu_us = 0;  ///< of all members, a command
  uint64_t groups = 0, refused = 0, p50_us = 0, p99_us = 0;
};

struct Target {
  std::string what;
  double value = 0;
  std::string sign;
  double bound = 0;
  bool holds() const { return sign == ">=" ? value >= bound : value < bound; }
};

int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);  // the members' clock
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void sleep_for(Duration time) {
  usleep(
      static_cast<useconds_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count()));
}

void remove_all(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), members_(self(), options.directory) {}

  void run() {
    must(members_.start_all());
    const auto empty = states();
    create_groups();
    settle("after the groups were made", 60s);
    if (wants("idle")) measure_idle(empty);
    if (wants("throughput")) measure_throughput();
    if (wants("failover")) measure_failover();
  }
  int report() const;

 private:
  static std::string self() {
    char path[4096];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    CHECK(size > 0);
    return std::string(path, static_cast<size_t>(size));
  }
  [[noreturn]] void give_up(const Error& reason) {
    std::fprintf(stderr, "bench/raft: %s\n", reason.message().c_str());
    for (size_t i = 0; i < kMembersCount; ++i) members_.kill(i);
    remove_all(options_.directory);
    std::exit(2);
  }
  template <typename T>
  T must(Result<T> result) {
    if (!result) give_up(result.error());
    return std::move(*result);
  }
  bool wants(const char* phase) const { return options_.only.empty() || options_.only == phase; }
  void say(const char* what) const {
    if (!options_.json) std::printf("... %s\n", what);
    std::fflush(stdout);
  }

  std::vector<MemberState> states();
  /// Until every group has a leader and all members have applied the same.
  std::vector<MemberState> settle(const char* when, Duration limit);
  void wait_until_quiet(Duration limit);
  void create_groups();
  void measure_idle(const std::vector<MemberState>& empty);
  LoadResult load(uint64_t groups, double seconds);
  void measure_throughput();
  void measure_failover();
  /// Seconds from the kill to each group's first command under its new leader.
  std::vector<double> kill_one();

  const Options options_;
  Members members_;
  std::vector<LoadResult> few_, many_;
  std::vector<double> ratios_, failovers_s_, slowest_s_;
  std::vector<Target> targets_;
};

std::vector<MemberState> Bench::states() {
  std::vector<MemberState> states;
  for (const std::string& line : must(members_.ask_all("status", 20s))) {
    MemberState s;
    std::istringstream words(line);
    words >> s.groups >> s.leads >> s.cpu_us >> s.resident_bytes >> s.sent_bytes >> s.applied >>
        s.awake;
    states.push_back(s);
  }
  return states;
}

std::vector<MemberState> Bench::settle(const char* when, Duration limit) {
  const int64_t until = now_ns() + limit.count();
  for (;;) {
    auto now = states();
    uint64_t leads = 0;
    bool same = true;
    for (const MemberState& s : now) {
      leads += s.leads;
      same = same && s.applied == now[0].applied && s.groups == options_.groups;
    }
    if (same && leads == options_.groups) return now;
    if (now_ns() > until) give_up(error(Errc::kTimeout, std::string("not settled ") + when));
    sleep_for(100ms);  // between two looks; asking without a pause would be a load of its own
  }
}

void Bench::wait_until_quiet(Duration limit) {
  const int64_t until = now_ns() + limit.count();
  const auto is_awake = [](const MemberState& s) { return s.awake > 0; };
  while (std::ranges::any_of(states(), is_awake)) {
    if (now_ns() > until) give_up(error(Errc::kTimeout, "groups that nobody uses stay awake"));
    sleep_for(100ms);  // as above
  }
}

void Bench::create_groups() {
  // In pieces, each begun on another member, so that leaders spread.
  constexpr uint64_t kPiece = 50;
  for (uint64_t first = 1; first <= options_.groups; first += kPiece) {
    const uint64_t count = std::min(kPiece, options_.groups + 1 - first);
    const std::string order = "create " + std::to_string(first) + " " + std::to_string(count);
    must(members_.ask_all(order, 60s));
  }
}

void Bench::measure_idle(const std::vector<MemberState>& empty) {
  say("idle");
  wait_until_quiet(60s);
  const auto before = states();
  const int64_t begun = now_ns();
  sleep_for(15s);  // the time that is measured: CPU and bytes are counters, so the longer the finer
  const auto after = states();
  const double taken_s = static_cast<double>(now_ns() - begun) / 1e9;
  double cpu = 0, memory = 0, sent = 0;
  const auto groups = static_cast<double>(options_.groups);
  for (size_t i = 0; i < kMembersCount; ++i) {
    const auto grown =
        static_cast<double>(after[i].resident_bytes) - static_cast<double>(empty[i].resident_bytes);
    cpu = std::max(cpu, static_cast<double>(after[i].cpu_us - before[i].cpu_us) / 1e6 / taken_s);
    memory = std::max(memory, grown / groups / 1024);
    sent += static_cast<double>(after[i].sent_bytes - before[i].sent_bytes);
  }
  targets_.push_back({"idle groups: CPU of the busiest member, share of a core", cpu, "<", 0.01});
  targets_.push_back({"idle groups: bytes sent a group and second, all members together",
                      sent / groups / taken_s, "<", 100});
  targets_.push_back({"idle groups: memory a group and member, KiB", memory, "<", 20});
}

LoadResult Bench::load(uint64_t groups, double seconds) {
  // Of `groups`, each member writes to as many as it leads of them.
  const auto now = states();
  for (size_t i = 0; i < kMembersCount; ++i) {
    if (now[i].leads < groups / kMembersCount / 2) {
      give_up(error(Errc::kUnavailable, "leaders are spread too unevenly to measure"));
    }
  }
  std::vector<std::string> orders;
  for (size_t i = 0; i < kMembersCount; ++i) {
    const bool all = groups >= options_.groups;
    orders.push_back("load " + std::to_string(all ? groups : (groups + i) / kMembersCount) + " " +
                     std::to_string(options_.depth / kMembersCount) + " " +
                     std::to_string(static_cast<int>(seconds * 1000)));
  }
  LoadResult result;
  uint64_t done_all = 0, cpu_all = 0;
  for (const std::string& line :
       must(members_.ask_each(orders, Duration(static_cast<int64_t>(seconds * 1e9)) + 30s))) {
    uint64_t led = 0, done = 0, refused = 0, p50 = 0, p99 = 0, cpu = 0;
    std::istringstream words(line);
    words >> led >> done >> refused >> p50 >> p99 >> cpu;
    result.groups += led;
    result.refused += refused;
    result.p50_us = std::max(result.p50_us, p50);
    result.p99_us = std::max(result.p99_us, p99);
    done_all += done;
    cpu_all += cpu;
  }
  result.rate = static_cast<double>(done_all) / seconds;
  result.cpu_us =
      static_cast<double>(cpu_all) / static_cast<double>(std::max<uint64_t>(done_all, 1));
  return result;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double quantile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(fraction * static_cast<double>(values.size())))];
}

void Bench::measure_throughput() {
  say("throughput");
  load(options_.groups, 2);  // the segments that will be turned over are written once
  settle("after warming up", 60s);
  std::vector<double> rates;
  for (int round = 0; round < options_.rounds; ++round) {
    few_.push_back(load(options_.few_groups, options_.seconds));
    settle("after a load", 60s);
    many_.push_back(load(options_.groups, options_.seconds));
    settle("after a load", 60s);
    ratios_.push_back(many_.back().rate / few_.back().rate);
    rates.push_back(many_.back().rate);
  }
  targets_.push_back({"1,000 active groups against 10: throughput", median(ratios_), ">=", 0.8});
  targets_.push_back({"1,000 active groups: entries a second", median(rates), ">=", 40'000});
}

std::vector<double> Bench::kill_one() {
  const auto before = settle("before a kill", 60s);
  sleep_for(1s);  // leases, beats and quiet are what they are in the long run
  size_t victim = 0;
  for (size_t i = 1; i < kMembersCount; ++i) {
    if (before[i].leads > before[victim].leads) victim = i;
  }
  const uint64_t orphans = before[victim].leads;
  const int64_t killed = now_ns();
  members_.kill(victim);
  std::map<uint64_t, int64_t> first;
  while (first.size() < orphans && now_ns() < killed + 20'000'000'000) {
    // The members note the times themselves; asking them more often would slow what is measured.
    sleep_for(200ms);
    for (const std::string& line : must(members_.ask_all("led " + std::to_string(killed), 10s))) {
      std::istringstream words(line);
      for (std::string word; words >> word;) {
        const uint64_t group = std::strtoull(word.c_str(), nullptr, 10);
        const int64_t at = std::strtoll(word.c_str() + word.find(':') + 1, nullptr, 10);
        auto [found, is_new] = first.try_emplace(group, at);
        if (!is_new) found->second = std::min(found->second, at);
      }
    }
  }
  std::vector<double> seconds;
  for (const auto& [group, at] : first) {
    seconds.push_back(static_cast<double>(at - killed) / 1e9);
  }
  // One that never came back counts as long as we waited.
  seconds.resize(std::max<size_t>(seconds.size(), orphans), 20);
  must(members_.restart(victim));
  return seconds;
}

void Bench::measure_failover() {
  if (options_.kills == 0) return;
  say("failover");
  for (int i = 0; i < options_.kills; ++i) {
    const auto seconds = kill_one();
    slowest_s_.push_back(quantile(seconds, 1));
    failovers_s_.insert(failovers_s_.end(), seconds.begin(), seconds.end());
  }
  targets_.push_back({"failover: p99 over all groups, in election timeouts",
                      quantile(failovers_s_, 0.99) / options_.election_timeout_s, "<", 2});
}

void print_loads(const char* name, const std::vector<LoadResult>& loads) {
  for (const LoadResult& l : loads) {
    std::printf(
        "%s: %llu groups, %.0f entries/s, %.1f us of CPU each, p50 %llu us, p99 %llu us%s\n", name,
        static_cast<unsigned long long>(l.groups), l.rate, l.cpu_us,
        static_cast<unsigned long long>(l.p50_us), static_cast<unsigned long long>(l.p99_us),
        l.refused > 0 ? (", refused " + std::to_string(l.refused)).c_str() : "");
  }
}

int Bench::report() const {
  bool all_hold = true;
  for (const Target& t : targets_) all_hold &= t.holds();
  if (options_.json) {
    std::printf("{\"targets\":[");
    for (size_t i = 0; i < targets_.size(); ++i) {
      const Target& t = targets_[i];
      std::printf("%s{\"target\":\"%s\",\"value\":%.6g,\"bound\":\"%s %g\",\"holds\":%s}",
                  i ? "," : "", t.what.c_str(), t.value, t.sign.c_str(), t.bound,
                  t.holds() ? "true" : "false");
    }
    std::printf(
        "],\"failover_s\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"samples\":%zu,"
        "\"kills\":%d}}\n",
        quantile(failovers_s_, 0.5), quantile(failovers_s_, 0.99), quantile(failovers_s_, 1),
        failovers_s_.size(), options_.kills);
    return all_hold ? 0 : 1;
  }
  print_loads("few ", few_);
  print_loads("many", many_);
  if (!failovers_s_.empty()) {
    std::printf(
        "failover: %zu groups lost their leader in %d kills: p50 %.3f s, p99 %.3f s, "
        "slowest %.3f s; slowest of the median kill %.3f s\n",
        failovers_s_.size(), options_.kills, quantile(failovers_s_, 0.5),
        quantile(failovers_s_, 0.99), quantile(failovers_s_, 1), median(slowest_s_));
  }
  for (const Target& t : targets_) {
    std::printf("%s %s: %.3f (%s %g)\n", t.holds() ? "ok  " : "MISS", t.what.c_str(), t.value,
                t.sign.c_str(), t.bound);
  }
  return all_hold ? 0 : 1;
}

int usage(int code) {
  std::fprintf(code == 0 ? stdout : stderr,
               "usage: cairn_bench_raft [--dir DIR] [--groups N] [--depth N] [--seconds S]\n"
               "                        [--rounds N] [--kills N] [--only PHASE] [--json]\n"
               "  --dir DIR    where the members' folders are made (a real disk; default: .)\n"
               "  --groups N   groups on each member (default: 1000)\n"
               "  --depth N    commands under way in all (default: 4096)\n"
               "  --seconds S  of each load (default: 3)\n"
               "  --rounds N   of loads (default: 3)\n"
               "  --kills N    of members (default: 6; 0: none)\n"
               "  --only PHASE idle, throughput or failover\n"
               "  --json       print one object\n");
  return code;
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  using namespace cairn::bench;
  Options options;
  MemberOptions member;
  static const option kOptions[] = {{"dir", required_argument, nullptr, 'd'},
                                    {"groups", required_argument, nullptr, 'g'},
                                    {"depth", required_argument, nullptr, 'q'},
                                    {"seconds", required_argument, nullptr, 's'},
                                    {"rounds", required_argument, nullptr, 'r'},
                                    {"kills", required_argument, nullptr, 'k'},
                                    {"json", no_argument, nullptr, 'j'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {"only", required_argument, nullptr, 'o'},
                                    {"member", required_argument, nullptr, 'm'},
                                    {"listen", required_argument, nullptr, 'l'},
                                    {"control", required_argument, nullptr, 'c'},
                                    {nullptr, 0, nullptr, 0}};
  for (int choice; (choice = ::getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    const char* const value = optarg ? optarg : "";
    switch (choice) {
      case 'd':
        options.directory = member.directory = value;
        break;
      case 'g':
        options.groups = std::strtoull(value, nullptr, 10);
        break;
      case 'q':
        options.depth = std::strtoull(value, nullptr, 10);
        break;
      case 's':
        options.seconds = std::atof(value);
        break;
      case 'r':
        options.rounds = std::atoi(value);
        break;
      case 'k':
        options.kills = std::atoi(value);
        break;
      case 'o':
        options.only = value;
        break;
      case 'j':
        options.json = true;
        break;
      case 'm':
        member.id = std::strtoull(value, nullptr, 10);
        break;
      case 'l':
        member.listen = value;
        break;
      case 'c':
        member.control = value;
        break;
      case 'h':
        return usage(0);
      default:
        return usage(2);
    }
  }
  if (optind != argc || options.groups < options.few_groups || options.rounds < 1) return usage(2);
  if (member.id != 0) return run_member(member);
  ::signal(SIGPIPE, SIG_IGN);
  std::string directory =
      std::filesystem::absolute(options.directory).string() + "/raft-bench-XXXXXX";
  if (!::mkdtemp(directory.data())) {
    std::perror("bench/raft: cannot make a folder");
    return 2;
  }
  options.directory = directory;
  int code = 0;
  {
    Bench bench(options);
    bench.run();
    code = bench.report();
  }
  remove_all(directory);
  return code;
}
