// cairn bench: load from the native client, with latencies and the CPU of the whole cluster.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/context.h"
#include "cli/dev_state.h"
#include "client/volume.h"
#include "io/real/process.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

constexpr uint64_t kFillBytes = 1 * kMiB;
constexpr size_t kFillDepth = 16;
/// For an NBD client that has just left, say.
constexpr Duration kOpenWait = 3s;

struct BenchFlags {
  ClusterOptions cluster;
  std::string volume = "demo", pattern = "randwrite", block = "4k", range = "256M";
  uint32_t depth = 1, seconds = 10, read_percent = 50;
  bool as_json = false, force = false;
};

struct Plan {
  bool is_random = true;
  double read_share = 0;
  uint64_t block_bytes = 0, range_bytes = 0;
};

/// One run; the jobs share it.
struct Run {
  io::Env env;
  client::Volume& volume;
  Plan plan;
  Instant end;
  Buffer data;
  uint64_t next_offset = 0;
  uint64_t errors = 0, bytes = 0;
  std::string first_error;
  Histogram latency_ns;
  size_t jobs_running = 0;
  io::Event finished;
};

uint64_t next_offset(Run& run) {
  const uint64_t blocks = run.plan.range_bytes / run.plan.block_bytes;
  if (run.plan.is_random) return run.env.rng.below(blocks) * run.plan.block_bytes;
  const uint64_t offset = run.next_offset;
  run.next_offset = (run.next_offset + run.plan.block_bytes) % (blocks * run.plan.block_bytes);
  return offset;
}

io::Task<void> job(Run* run) {
  while (run->env.clock.now() < run->end) {
    const uint64_t offset = next_offset(*run);
    const bool reads = run->env.rng.chance(run->plan.read_share);
    const Instant began = run->env.clock.now();
    Status status = ok();
    if (reads) {
      auto pieces = co_await run->volume.read_pieces(offset, run->plan.block_bytes);
      if (!pieces) status = pieces.error();
    } else {
      status = co_await run->volume.write(offset, run->data);
    }
    if (status) {
      run->latency_ns.record(static_cast<uint64_t>((run->env.clock.now() - began).count()));
      run->bytes += run->plan.block_bytes;
    } else {
      if (run->errors++ == 0) run->first_error = status.error().message();
    }
  }
  if (--run->jobs_running == 0) run->finished.set();
}

Result<Plan> make_plan(const BenchFlags& flags, uint64_t volume_bytes) {
  Plan plan;
  plan.block_bytes = TRY(parse_bytes(flags.block));
  plan.range_bytes = std::min(TRY(parse_bytes(flags.range)), volume_bytes);
  plan.is_random = flags.pattern.starts_with("rand");
  if (flags.pattern == "read" || flags.pattern == "randread") plan.read_share = 1;
  if (flags.pattern == "randrw") plan.read_share = flags.read_percent / 100.0;
  if (plan.block_bytes == 0 || plan.block_bytes > 16 * kMiB ||
      plan.block_bytes > plan.range_bytes) {
    return error(Errc::kInvalidArgument, "--bs takes 512 to 16M, and no more than --range");
  }
  return plan;
}

/// Reads of what was never written measure nothing, and a chunk's first write makes it: everything
/// in the range is written once before the clock starts.
io::Task<Status> fill(Run* run) {
  Run filling{.env = run->env,
              .volume = run->volume,
              .plan = {.is_random = false,
                       .block_bytes = std::min(kFillBytes, run->plan.range_bytes),
                       .range_bytes = run->plan.range_bytes},
              .end = run->end,
              .finished = io::Event(run->env.executor)};
  filling.data = run->env.buffers.allocate(filling.plan.block_bytes);
  for (std::byte& b : filling.data.mutable_view()) b = static_cast<std::byte>(run->env.rng.next());
  const uint64_t blocks = filling.plan.range_bytes / filling.plan.block_bytes;
  io::Semaphore slots(run->env.executor, kFillDepth);
  struct Writer {
    static io::Task<void> write(Run* f, uint64_t offset, io::Semaphore::Permit permit) {
      auto held = std::move(permit);
      if (Status s = co_await f->volume.write(offset, f->data); !s && f->errors++ == 0) {
        f->first_error = s.error().message();
      }
    }
  };
  for (uint64_t i = 0; i < blocks && filling.errors == 0; ++i) {
    auto permit = co_await slots.acquire();
    run->env.executor.spawn(
        Writer::write(&filling, i * filling.plan.block_bytes, std::move(permit)));
  }
  std::vector<io::Semaphore::Permit> all;
  for (size_t i = 0; i < kFillDepth; ++i) all.push_back(co_await slots.acquire());
  if (filling.errors > 0) co_return error(Errc::kIo, "filling: " + filling.first_error);
  co_return ok();
}

uint64_t cluster_cpu_us(const std::optional<DevState>& state) {
  uint64_t total = io::real::cpu_time_us(io::real::identity_of(static_cast<int>(::getpid())));
  if (!state) return total;
  DevState copy = *state;
  for (DevProcess* process : copy.processes()) {
    total += io::real::cpu_time_us({.pid = process->pid, .started = process->started});
  }
  return total;
}

double us(uint64_t ns) {
  return static_cast<double>(ns) / 1000.0;
}

void print_histogram(const Histogram& latency) {
  // A line a power of two is what fits a screen.
  std::map<int, uint64_t> lines;
  for (const auto& bucket : latency.buckets()) {
    lines[std::bit_width(bucket.upper_bound / 1000)] += bucket.count;
  }
  std::printf("\nlatency (us)  operations\n");
  for (const auto& [exponent, count] : lines) {
    const double share = static_cast<double>(count) / static_cast<double>(latency.count());
    std::printf("< %8llu  %9llu  %5.1f%%  %s\n", 1ULL << exponent,
                static_cast<unsigned long long>(count), share * 100,
                std::string(static_cast<size_t>(share * 40), '#').c_str());
  }
}

void print(const BenchFlags& flags, const Run& run, double seconds, uint64_t cpu_us) {
  const Histogram& latency = run.latency_ns;
  const auto ops = static_cast<double>(latency.count());
  const double cpu_per_op = ops > 0 ? static_cast<double>(cpu_us) / ops : 0;
  const double mbps = static_cast<double>(run.bytes) / seconds / 1e6;
  if (flags.as_json) {
    json histogram = json::array();
    for (const auto& bucket : latency.buckets()) {
      histogram.push_back({{"le_us", us(bucket.upper_bound)}, {"count", bucket.count}});
    }
    json out = {{"rw", flags.pattern},
                {"bs", run.plan.block_bytes},
                {"depth", flags.depth},
                {"seconds", seconds},
                {"ops", latency.count()},
                {"iops", ops / seconds},
                {"mbps", mbps},
                {"p50_us", us(latency.quantile(0.5))},
                {"p99_us", us(latency.quantile(0.99))},
                {"p999_us", us(latency.quantile(0.999))},
                {"max_us", us(latency.max())},
                {"cpu_us_per_op", cpu_per_op},
                {"errors", run.errors},
                {"histogram", histogram}};
    if (run.errors > 0) out["first_error"] = run.first_error;
    std::printf("%s\n", out.dump().c_str());
    return;
  }
  std::printf("%s, %s blocks, depth %u, %.1f s\n", flags.pattern.c_str(),
              format_bytes(run.plan.block_bytes).c_str(), flags.depth, seconds);
  std::printf("  %.0f IOPS, %.1f MB/s, %llu errors\n", ops / seconds, mbps,
              static_cast<unsigned long long>(run.errors));
  std::printf("  latency p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n",
              us(latency.quantile(0.5)), us(latency.quantile(0.99)), us(latency.quantile(0.999)),
              us(latency.max()));
  std::printf("  CPU %.1f us an operation, all processes of the cluster and this one\n",
              cpu_per_op);
  if (run.errors > 0) std::printf("  first error: %s\n", run.first_error.c_str());
  print_histogram(latency);
}

io::Task<int> bench_volume(io::Env env, client::Volume* volume, std::shared_ptr<BenchFlags> flags,
                           std::shared_ptr<std::optional<DevState>> state) {
  auto plan = make_plan(*flags, volume->size_bytes());
  if (!plan) co_return fail(plan.error());
  Run run{.env = env, .volume = *volume, .plan = *plan, .finished = io::Event(env.executor)};
  run.data = env.buffers.allocate(plan->block_bytes);
  for (std::byte& b : run.data.mutable_view()) b = static_cast<std::byte>(env.rng.next());
  if (Status filled = co_await fill(&run); !filled) co_return fail(filled.error());

  const uint64_t cpu_before = cluster_cpu_us(*state);
  const Instant began = env.clock.now();
  run.end = began + std::chrono::seconds(flags->seconds);
  run.jobs_running = flags->depth;
  for (uint32_t i = 0; i < flags->depth; ++i) env.executor.spawn(job(&run));
  co_await run.finished.wait();
  const double seconds = std::chrono::duration<double>(env.clock.now() - began).count();
  print(*flags, run, seconds, cluster_cpu_us(*state) - cpu_before);
  co_return run.errors == 0 ? 0 : kExitFailed;
}

io::Task<int> bench(io::Env env, client::Cluster* cluster, std::shared_ptr<BenchFlags> flags,
                    std::shared_ptr<std::optional<DevState>> state) {
  const client::OpenOptions how{
      .mode = client::OpenMode::kExclusive, .force = flags->force, .wait = kOpenWait};
  auto volume = co_await cluster->open_volume(flags->volume, how);
  if (!volume) co_return fail(volume.error());
  const int status = co_await bench_volume(env, volume->get(), flags, state);
  co_await (*volume)->close();
  co_return status;
}

int run_bench(const std::shared_ptr<BenchFlags>& flags) {
  auto state = std::make_shared<std::optional<DevState>>();
  if (flags->cluster.mds.empty()) {
    const std::string dir = flags->cluster.dir.empty() ? default_dev_dir() : flags->cluster.dir;
    auto loaded = load_dev_state(dir);
    if (!loaded) return fail(loaded.error());
    *state = *loaded;
  }
  return with_cluster(flags->cluster, [flags, state](io::Env env, client::Cluster& cluster) {
    return bench(env, &cluster, flags, state);
  });
}

}  // namespace

void add_bench_command(CLI::App& app, Action& action) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure a volume with the native client. Overwrites its data");
  add_cluster_options(*command, flags->cluster);
  command->add_option("--volume", flags->volume, "volume to read and write")->capture_default_str();
  command->add_flag("--force", flags->force,
                    "take the volume away from whoever has it open; their I/O fails from then on");
  command->add_option("--rw", flags->pattern, "pattern")
      ->check(CLI::IsMember({"randwrite", "randread", "write", "read", "randrw"}))
      ->capture_default_str();
  command->add_option("--bs", flags->block, "bytes of an operation")->capture_default_str();
  command->add_option("--depth", flags->depth, "operations under way at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--seconds", flags->seconds, "how long to measure")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  command->add_option("--range", flags->range, "part of the volume, from its start")
      ->capture_default_str();
  command->add_option("--read-percent", flags->read_percent, "of randrw")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command->add_flag("--json", flags->as_json, "print one JSON object");
  command->callback([flags, &action] { action = [flags] { return run_bench(flags); }; });
}

}  // namespace cairn::cli
