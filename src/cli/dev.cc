// cairn dev up|status|down: a whole cluster on this machine, as real processes on loopback.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "cli/commands.h"
#include "cli/context.h"
#include "cli/dev_etcd.h"
#include "cli/dev_state.h"
#include "io/real/process.h"
#include "wire/mds.pb.h"

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr auto kReadyTimeout = std::chrono::seconds(30);
constexpr auto kStopTimeout = std::chrono::seconds(15);
constexpr auto kPollInterval = std::chrono::milliseconds(50);

struct DevFlags {
  std::string dir;
  uint32_t chunkservers_count = 3;
  uint32_t mds_count = 1;
  std::string meta_store = "embedded";
  uint32_t etcd_count = 0;    ///< 0: one for one MDS, three for more
  bool is_new_group = false;  ///< of the MDS: none of them has a log yet
  uint32_t copysets_per_chunkserver = 100;
  std::string volume_size = "1G";
  std::string space_reserve = "256M";
  std::vector<std::string> names;  ///< of processes to start; none: all that are stopped
  std::string mds_flags;           ///< with spaces between; in the place of those set here
  std::string chunkserver_flags;   ///< likewise
  bool as_json = false;
  bool wipe = false;
};

io::real::ProcessIdentity identity_of(const DevProcess& process) {
  return {.pid = process.pid, .started = process.started};
}
bool is_running(const DevProcess& process) {
  return io::real::is_running(identity_of(process));
}

Status write_key(const std::string& path) {
  if (fs::exists(path)) return ok();
  std::ifstream random("/dev/urandom", std::ios::binary);
  std::string hex;
  for (int i = 0; i < 32; ++i) {
    static constexpr char kDigits[] = "0123456789abcdef";
    const int byte = random.get();
    if (byte < 0) return error(Errc::kIo, "/dev/urandom cannot be read");
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  std::ofstream file(path);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  file << hex << "\n";
  if (!file.flush()) return error(Errc::kIo, path + " cannot be written");
  return ok();
}

Result<std::string> free_address() {
  const uint16_t port = TRY(io::real::free_port());
  return "127.0.0.1:" + std::to_string(port);
}

Result<DevProcess> plan_chunkserver(const DevState& state) {
  DevProcess chunkserver;
  chunkserver.name = "chunkserver-" + std::to_string(state.chunkservers.size() + 1);
  chunkserver.dir = state.dir + "/" + chunkserver.name;
  chunkserver.address = TRY(free_address());
  chunkserver.http = TRY(free_address());
  return chunkserver;
}

/// Chunkservers that are wanted beyond those that there are.
Status grow(DevState& state, const DevFlags& flags) {
  while (state.chunkservers.size() < flags.chunkservers_count) {
    state.chunkservers.push_back(TRY(plan_chunkserver(state)));
  }
  return ok();
}

Status plan_etcd(DevState& state, const DevFlags& flags) {
  TRY(find_etcd());
  const uint32_t default_count = flags.mds_count == 1 ? 1 : 3;
  const uint32_t count = flags.etcd_count == 0 ? default_count : flags.etcd_count;
  for (uint32_t i = 1; i <= count; ++i) {
    DevProcess etcd;
    etcd.name = "etcd-" + std::to_string(i);
    etcd.dir = state.dir + "/" + etcd.name;
    etcd.address = TRY(free_address());
    etcd.peer = TRY(free_address());
    state.etcd.push_back(std::move(etcd));
  }
  return ok();
}

/// A new cluster's layout: folders, addresses, names.
Result<DevState> plan(const DevFlags& flags) {
  DevState state;
  state.dir = flags.dir;
  if (flags.meta_store == "etcd") TRY(plan_etcd(state, flags));
  for (uint32_t i = 1; i <= flags.mds_count; ++i) {
    DevProcess mds;
    mds.name = flags.mds_count == 1 ? "mds" : "mds-" + std::to_string(i);
    mds.dir = flags.dir + "/" + mds.name;
    mds.address = TRY(free_address());
    mds.http = TRY(free_address());
    state.mds.push_back(std::move(mds));
  }
  TRY(grow(state, flags));
  state.nbd.name = "nbd";
  const std::string socket = flags.dir + "/nbd.sock";
  if (socket.size() > 100) {
    return error(Errc::kInvalidArgument,
                 "the path of --dir is too long for a socket in it; use a shorter one");
  }
  state.nbd.address = "unix:" + socket;
  state.nbd_uri = "nbd+unix:///" + state.volume + "?socket=" + socket;
  state.nbd.http = TRY(free_address());
  return state;
}

/// Flags that a person gave stand in the place of those that are set here.
void override_with(std::vector<std::string>& command, const std::string& flags) {
  std::istringstream words(flags);
  for (std::string word; words >> word;) {
    const auto known = std::ranges::find(command, word);
    if (word.starts_with("--") && known != command.end()) command.erase(known, known + 2);
    command.push_back(word);
  }
}

std::vector<std::string> mds_command(const DevState& state, const DevProcess& process,
                                     const DevFlags& flags) {
  const auto replicas = std::min<size_t>(3, state.chunkservers.size());
  std::vector<std::string> command{
      io::real::own_program(), "mds", "--data", process.dir, "--listen", process.address,
      "--key-file", state.key_file(), "--replicas", std::to_string(replicas), "--chunkservers-min",
      std::to_string(state.chunkservers.size()), "--copysets-per-chunkserver",
      std::to_string(flags.copysets_per_chunkserver),
      // Short ones: whoever tries the cluster out wants to see it heal.
      "--unstable-after-ms", "5000", "--offline-after-ms", "20000", "--schedule-ms", "1000",
      "--leader-rest-ms", "5000"};
  override_with(command, flags.mds_flags);
  if (!state.etcd.empty()) {
    command.insert(command.end(),
                   {"--meta-store", "etcd", "--etcd-endpoints", state.etcd_addresses()});
    return command;
  }
  if (state.mds.size() == 1) return command;
  std::string peers, id;
  for (size_t i = 0; i < state.mds.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    peers += (peers.empty() ? "" : ",") + number + "=" + state.mds[i].address;
    if (&state.mds[i] == &process) id = number;
  }
  command.insert(command.end(), {"--peers", peers, "--id", id});
  if (flags.is_new_group) command.push_back("--init");
  return command;
}

bool is_among(const std::vector<DevProcess>& some, const DevProcess& process) {
  return std::ranges::any_of(some, [&](const DevProcess& one) { return &one == &process; });
}

Result<std::vector<std::string>> role_command(const DevState& state, const DevProcess& process,
                                              const DevFlags& flags) {
  if (is_among(state.etcd, process)) return etcd_command(TRY(find_etcd()), state.etcd, process);
  if (is_among(state.mds, process)) return mds_command(state, process, flags);
  const std::string program = io::real::own_program();
  if (&process == &state.nbd) {
    return std::vector<std::string>{program,         "nbd",   state.volume,          "--listen",
                                    process.address, "--mds", state.mds_addresses(), "--key-file",
                                    state.key_file()};
  }
  std::vector<std::string> command{program,
                                   "chunkserver",
                                   "--data",
                                   process.dir,
                                   "--listen",
                                   process.address,
                                   "--mds",
                                   state.mds_addresses(),
                                   "--key-file",
                                   state.key_file(),
                                   "--zone",
                                   "zone-" + process.name,
                                   "--server",
                                   process.name,
                                   "--pool-ready-min",
                                   "4",
                                   "--pool-ready-target",
                                   "8",
                                   "--space-reserve",
                                   flags.space_reserve,
                                   "--wal-max",
                                   "4G"};
  override_with(command, flags.chunkserver_flags);
  return command;
}

Result<std::vector<std::string>> command_of(const DevState& state, const DevProcess& process,
                                            const DevFlags& flags) {
  std::vector<std::string> command = TRY(role_command(state, process, flags));
  if (!process.http.empty()) command.insert(command.end(), {"--http-listen", process.http});
  return command;
}

Status start_missing(DevState& state, DevProcess& process, const DevFlags& flags) {
  if (is_running(process)) return ok();
  if (&process == &state.nbd) fs::remove(process.address.substr(5));
  const auto command = TRY(command_of(state, process, flags));
  const auto started =
      TRY(io::real::start_daemon(command, state.dir + "/" + process.name + ".log"));
  process.pid = started.pid;
  process.started = started.started;
  return save_dev_state(state);
}

/// What a process that ended too soon wrote last.
std::string last_line(const std::string& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

Status check_alive(DevState& state) {
  for (DevProcess* process : state.processes()) {
    if (process->pid == 0 || is_running(*process)) continue;
    const std::string log = state.dir + "/" + process->name + ".log";
    return error(Errc::kUnavailable,
                 process->name + " has ended; its last words in " + log + ": " + last_line(log));
  }
  return ok();
}

io::Task<Status> wait_ready(io::Env env, client::Cluster* cluster, DevState* state) {
  const Instant until = env.clock.now() + kReadyTimeout;
  Error last(Errc::kUnavailable, "the MDS did not answer");
  while (env.clock.now() < until) {
    CO_TRY(check_alive(*state));
    auto status = co_await cluster->cluster_status();
    if (status && status->health() == "ok" && status->copysets_count() > 0 &&
        status->chunkservers_size() == static_cast<int>(state->chunkservers.size())) {
      co_return ok();
    }
    if (!status) {
      last = status.error();
    } else {
      std::string problems;
      for (const auto& problem : status->problems()) problems += "; " + problem;
      last = error(Errc::kUnavailable, "health is " + status->health() + problems);
    }
    co_await env.clock.sleep(kPollInterval);
  }
  co_return last.within("the cluster is not ready after 30 s; see the logs in " + state->dir);
}

io::Task<Status> make_demo_volume(client::Cluster* cluster, std::string name, uint64_t bytes) {
  auto info = co_await cluster->stat_volume(name);
  if (info) co_return ok();
  if (info.code() != Errc::kNotFound) co_return info.error();
  CO_TRY(co_await cluster->create_volume(name, bytes));
  co_return ok();
}

Status wait_socket(DevState& state) {
  const std::string path = state.nbd.address.substr(5);
  const auto until = std::chrono::steady_clock::now() + kReadyTimeout;
  while (!fs::exists(path)) {
    TRY(check_alive(state));
    if (std::chrono::steady_clock::now() > until) {
      return error(Errc::kTimeout, "the NBD server made no socket; see " + state.dir + "/nbd.log");
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return ok();
}

/// Those that were named, whatever the cluster's health.
Status start_named(DevState& state, const DevFlags& flags) {
  for (const std::string& name : flags.names) {
    const auto processes = state.processes();
    const auto found = std::ranges::find(processes, name, &DevProcess::name);
    if (found == processes.end()) {
      return error(Errc::kNotFound, "no process of this cluster is called '" + name +
                                        "'; cairn dev status lists them");
    }
    TRY(start_missing(state, **found, flags));
  }
  return ok();
}

Status bring_up(DevState& state, const DevFlags& flags) {
  if (!is_running(state.nbd)) state.nbd.pid = 0;  // started last, below
  for (DevProcess* process : state.processes()) {
    if (process != &state.nbd) TRY(start_missing(state, *process, flags));
  }
  const uint64_t volume_bytes = TRY(parse_bytes(flags.volume_size));
  const rpc::ClusterKey key = TRY(read_key_file(state.key_file()));
  Process process("dev", {.level = "error"});
  client::ClientOptions options;
  for (const DevProcess& mds : state.mds) options.mds.push_back({mds.address});
  options.key = key;
  options.op_deadline = 10s;
  client::Cluster cluster(process.env(), options);
  auto& reactor = process.reactor();
  Status ready = reactor.run_until_done(wait_ready(process.env(), &cluster, &state));
  if (ready) ready = reactor.run_until_done(make_demo_volume(&cluster, state.volume, volume_bytes));
  (void)reactor.run_until_done(cluster.stop());
  TRY(ready);
  TRY(start_missing(state, state.nbd, flags));
  return wait_socket(state);
}

void print_welcome(const DevState& state) {
  const std::string dir = state.dir == default_dev_dir() ? "" : " --dir " + state.dir;
  const std::string mds = state.mds.size() == 1 ? "an" : std::to_string(state.mds.size());
  const std::string etcd =
      state.etcd.empty() ? "" : ", on " + std::to_string(state.etcd.size()) + " etcd";
  std::printf("%zu chunkservers and %s MDS%s run in %s\n", state.chunkservers.size(), mds.c_str(),
              etcd.c_str(), state.dir.c_str());
  std::printf("NBD: %s\n\n", state.nbd_uri.c_str());
  std::printf("try next:\n");
  std::printf("  nbdinfo '%s'\n", state.nbd_uri.c_str());
  std::printf("  qemu-io -f raw -c 'write -P 7 0 1M' -c 'read -P 7 0 1M' '%s'\n",
              state.nbd_uri.c_str());
  std::printf("  cairn status%s\n", dir.c_str());
  std::printf("  cairn bench%s --rw randwrite --bs 4k --depth 32 --seconds 5\n", dir.c_str());
  std::printf("  cairn dev down%s\n", dir.c_str());
}

int up(DevFlags flags) {
  std::error_code failed;
  fs::create_directories(flags.dir, failed);
  if (failed) return fail(error(Errc::kIo, "cannot make " + flags.dir + ": " + failed.message()));
  flags.dir = fs::canonical(flags.dir).string();
  if (flags.chunkservers_count < 1 || flags.chunkservers_count > 64) {
    return fail(error(Errc::kInvalidArgument, "--chunkservers takes 1 to 64"));
  }
  if (flags.mds_count < 1 || flags.mds_count > 5 || flags.mds_count % 2 == 0) {
    return fail(error(Errc::kInvalidArgument, "--mds takes 1, 3 or 5"));
  }
  if (flags.etcd_count != 0 && flags.meta_store != "etcd") {
    return fail(error(Errc::kInvalidArgument, "--etcd goes with --meta-store etcd"));
  }
  auto state = load_dev_state(flags.dir);
  if (!state) {
    if (state.code() != Errc::kNotFound) return fail(state.error());
    state = plan(flags);
    if (!state) return fail(state.error());
  }
  if (Status grown = grow(*state, flags); !grown) return fail(grown.error());
  if (Status key = write_key(state->key_file()); !key) return fail(key.error());
  for (DevProcess* process : state->processes()) {
    if (!process->dir.empty()) fs::create_directories(process->dir, failed);
  }
  if (Status saved = save_dev_state(*state); !saved) return fail(saved.error());
  // A member that alone has no log has lost it, and must not pass for a new one.
  flags.is_new_group = std::ranges::none_of(
      state->mds, [](const DevProcess& mds) { return fs::exists(mds.dir + "/wal"); });
  if (!flags.names.empty()) {
    const Status started = start_named(*state, flags);
    return started ? 0 : fail(started.error());
  }
  if (Status ready = bring_up(*state, flags); !ready) return fail(ready.error());
  print_welcome(*state);
  return 0;
}

int status(const DevFlags& flags) {
  auto state = load_dev_state(flags.dir);
  if (!state) return fail(state.error());
  bool all_run = true;
  json list = json::array();
  std::vector<std::vector<std::string>> rows{{"PROCESS", "STATE", "PID", "ADDRESS", "HTTP"}};
  for (DevProcess* process : state->processes()) {
    const bool runs = is_running(*process);
    all_run &= runs;
    rows.push_back({process->name, runs ? "running" : "stopped",
                    runs ? std::to_string(process->pid) : "-", process->address,
                    process->http.empty() ? "-" : process->http});
    list.push_back({{"name", process->name},
                    {"running", runs},
                    {"pid", runs ? process->pid : 0},
                    {"address", process->address},
                    {"http", process->http},
                    {"dir", process->dir}});
  }
  if (flags.as_json) {
    std::printf("%s\n", json{{"dir", state->dir},
                             {"nbd_uri", state->nbd_uri},
                             {"key_file", state->key_file()},
                             {"processes", list}}
                            .dump()
                            .c_str());
  } else {
    print_table(rows);
    std::printf("NBD: %s\n", state->nbd_uri.c_str());
    if (!all_run) std::printf("start what is stopped: cairn dev up --dir %s\n", state->dir.c_str());
  }
  return all_run ? 0 : kExitFailed;
}

/// Asks first, then insists; only processes that this cluster's `up` started.
void stop_process(DevProcess& process) {
  const auto identity = identity_of(process);
  if (!io::real::send_signal(identity, SIGTERM)) return;
  const auto until = std::chrono::steady_clock::now() + kStopTimeout;
  while (io::real::is_running(identity)) {
    if (std::chrono::steady_clock::now() > until) {
      std::printf("%s does not end; killing it\n", process.name.c_str());
      io::real::send_signal(identity, SIGKILL);
      return;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

int down(const DevFlags& flags) {
  auto state = load_dev_state(flags.dir);
  if (!state) return fail(state.error());
  // Clients before servers, so that nothing is waited for in vain.
  stop_process(state->nbd);
  for (DevProcess& chunkserver : state->chunkservers) {
    io::real::send_signal(identity_of(chunkserver), SIGTERM);
  }
  for (DevProcess& chunkserver : state->chunkservers) stop_process(chunkserver);
  for (DevProcess& mds : state->mds) io::real::send_signal(identity_of(mds), SIGTERM);
  for (DevProcess& mds : state->mds) stop_process(mds);
  for (DevProcess& etcd : state->etcd) io::real::send_signal(identity_of(etcd), SIGTERM);
  for (DevProcess& etcd : state->etcd) stop_process(etcd);
  for (DevProcess* process : state->processes()) process->pid = 0;
  if (Status saved = save_dev_state(*state); !saved) return fail(saved.error());
  if (!flags.wipe) {
    std::printf("stopped; the data stays in %s (cairn dev up starts it again)\n",
                state->dir.c_str());
    return 0;
  }
  for (DevProcess* process : state->processes()) {
    if (!process->dir.empty()) fs::remove_all(process->dir);
    fs::remove(state->dir + "/" + process->name + ".log");
  }
  fs::remove(state->key_file());
  fs::remove(state->dir + "/cluster.json");
  std::printf("stopped, and the data in %s is removed\n", state->dir.c_str());
  return 0;
}

CLI::App* add(CLI::App& parent, Action& action, const std::string& name, const std::string& help,
              std::shared_ptr<DevFlags> flags, std::function<int(const DevFlags&)> run) {
  CLI::App* command = parent.add_subcommand(name, help);
  command
      ->add_option("--dir", flags->dir,
                   "folder of the cluster (default: " + default_dev_dir() + ")")
      ->envname("CAIRN_DIR");
  command->callback([flags, run, &action] {
    action = [flags, run] {
      if (flags->dir.empty()) flags->dir = default_dev_dir();
      return run(*flags);
    };
  });
  return command;
}

}  // namespace

void add_dev_commands(CLI::App& app, Action& action) {
  CLI::App* dev = app.add_subcommand("dev", "A whole cluster on this machine");
  dev->require_subcommand(1);
  auto flags = std::make_shared<DevFlags>();
  CLI::App* c = add(*dev, action, "up", "Start a cluster, or what is stopped of it", flags, up);
  c->add_option("NAME", flags->names,
                "start these processes only, and do not wait until the cluster is healthy");
  c->add_option("--chunkservers", flags->chunkservers_count,
                "of a new cluster; more than there are: the rest is added")
      ->capture_default_str();
  c->add_option("--mds", flags->mds_count, "metadata servers of a new cluster: 1, 3 or 5")
      ->capture_default_str();
  c->add_option("--meta-store", flags->meta_store,
                "where the MDS of a new cluster keep the metadata: embedded, or etcd, which is "
                "started, too (apt install etcd-server)")
      ->check(CLI::IsMember({"embedded", "etcd"}))
      ->capture_default_str();
  c->add_option("--etcd", flags->etcd_count,
                "members of the etcd of a new cluster: 1, 3 or 5 (default: 1 for one MDS, else 3)")
      ->check(CLI::IsMember({1u, 3u, 5u}));
  c->add_option("--copysets-per-chunkserver", flags->copysets_per_chunkserver, "of a new cluster")
      ->capture_default_str();
  c->add_option("--volume-size", flags->volume_size, "of the demo volume")->capture_default_str();
  c->add_option("--space-reserve", flags->space_reserve,
                "space of the file system kept free for log and deletes")
      ->capture_default_str();
  c->add_option("--mds-flags", flags->mds_flags,
                "further flags of each MDS that is started, with spaces between them: "
                "\"--offline-after-ms 5000 --copies-max 8\"");
  c->add_option("--chunkserver-flags", flags->chunkserver_flags,
                "the same for each chunkserver that is started");
  c = add(*dev, action, "status", "Show the cluster's processes", flags, status);
  c->add_flag("--json", flags->as_json, "print JSON");
  c = add(*dev, action, "down", "Stop the cluster; its data stays", flags, down);
  c->add_flag("--wipe", flags->wipe, "remove its data, too");
}

}  // namespace cairn::cli
