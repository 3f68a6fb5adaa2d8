// cairn mds, cairn chunkserver, cairn nbd: the long-running processes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "chunkserver/chunkserver.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/context.h"
#include "cli/delayed_disk.h"
#include "cli/etcd_mds.h"
#include "cli/http.h"
#include "cli/replicated_mds.h"
#include "client/volume.h"
#include "gateway/nbd/server.h"
#include "gateway/nbd/volume_export.h"
#include "mds/mds.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::cli {

namespace {

/// --config and the variables: the same names as the flags.
void add_config_option(CLI::App& command) {
  command.set_config("--config", "", "TOML file with the same keys as these flags");
}

/// A stop may wait for an operation on a disk that hangs, which never ends.
constexpr Duration kStopMax = 10s;

void end_overdue() {
  std::fprintf(
      stderr,
      "cairn: the server has not stopped within 10 s, perhaps for a disk that hangs; it is "
      "ended. Nothing that was acknowledged is lost\n");
  std::_Exit(kExitFailed);
}

/// Runs a server until a signal; the exit status.
template <typename Server>
int serve(Process& process, Server& server, const std::string& http_address) {
  // Before the server starts, so that a start that takes long can be watched.
  http::Server http(process.env());
  if constexpr (requires { server.view(std::string_view()); }) {
    add_console(http, mds::Mds::views(), [&](std::string_view name) { return server.view(name); });
  }
  Status started = serve_http(http, process.env(), http_address, [&] { return server.health(); });
  if (started) {
    started = process.reactor().run_until_done(server.start());
    if (started) process.run_until_signal();
    io::Timer overdue(process.env().clock, end_overdue);
    overdue.arm_after(kStopMax);
    process.reactor().run_until_done(server.stop());
  }
  return started ? 0 : fail(started.error());
}

struct MdsFlags {
  std::string data, listen = "127.0.0.1:6700", advertise, key_file, http_listen;
  std::string meta_store = "embedded";
  EtcdFlags etcd;
  std::vector<std::string> peers;
  uint64_t id = 0;
  bool is_new = false;
  mds::Options options;
  LogFlags log;
};

int run_one_of_several(MdsFlags& flags, Process& process) {
  auto members = parse_peers(flags.peers);
  if (!members) return fail(members.error());
  kv::ReplicatedOptions store{.self = NodeId(flags.id), .members = *members};
  if (!store.members.contains(store.self)) {
    return fail(error(
        Errc::kInvalidArgument,
        "--id has to be the number that --peers gives this MDS, not " + std::to_string(flags.id)));
  }
  store.is_new = flags.is_new;
  store.raft = kv::metadata_raft_options();
  auto server = ReplicatedMds::open(process, flags.data, std::move(store), flags.options);
  if (!server) return fail(server.error());
  return serve(process, **server, flags.http_listen);
}

int run_mds(MdsFlags& flags) {
  auto key = read_key_file(flags.key_file);
  if (!key) return fail(key.error());
  Process process("mds", flags.log);
  flags.options.cluster_key = *key;
  flags.options.listen = {flags.listen};
  if (flags.meta_store == "etcd") {
    const std::string& address = flags.advertise.empty() ? flags.listen : flags.advertise;
    auto server = EtcdMds::open(process, flags.etcd, address, flags.options);
    if (!server) return fail(server.error());
    return serve(process, **server, flags.http_listen);
  }
  if (!flags.peers.empty()) return run_one_of_several(flags, process);
  auto store = kv::RocksMetaStore::open(process.env(), flags.data);
  if (!store) return fail(store.error());
  mds::Mds server(process.env(), **store, flags.options);
  return serve(process, server, flags.http_listen);
}

struct ChunkserverFlags {
  std::string data, listen = "127.0.0.1:0", key_file, http_listen;
  std::vector<std::string> mds;
  uint32_t flush_delay_ms = 0;
  chunkserver::Options options;
  LogFlags log;
};

int run_chunkserver(ChunkserverFlags& flags) {
  chunkserver::Options& options = flags.options;
  auto key = read_key_file(flags.key_file);
  if (!key) return fail(key.error());
  options.key = *key;
  options.listen = {flags.listen};
  for (const std::string& address : flags.mds) options.mds.push_back({address});
  if (options.server.empty()) options.server = "localhost";
  Process process("chunkserver", flags.log);
  std::error_code failed;
  std::filesystem::create_directories(flags.data, failed);
  if (failed) {
    return fail(error(Errc::kIo, "cannot make " + flags.data + ": " + failed.message()));
  }
  auto disk = process.reactor().open_disk(flags.data, {.create_root = true, .exclusive = true});
  if (!disk) return fail(disk.error());
  DelayedDisk delayed(**disk, process.env().clock, std::chrono::milliseconds(flags.flush_delay_ms));
  io::Disk& used = flags.flush_delay_ms > 0 ? delayed : **disk;
  chunkserver::Chunkserver server(process.env(), used, options);
  return serve(process, server, flags.http_listen);
}

/// While an NBD client sits in its handshake, for another to close the volume.
constexpr Duration kNbdOpenWait = 3s;

struct NbdFlags {
  ClusterOptions cluster;
  std::vector<std::string> volumes, listen;
  std::string http_listen;
  bool read_only = false, shared = false, force = false;
  LogFlags log;
};

int run_nbd(const NbdFlags& flags) {
  auto target = resolve(flags.cluster);
  if (!target) return fail(target.error());
  Process process("nbd", flags.log);
  client::ClientOptions options;
  options.mds = target->mds;
  options.key = target->key;
  // Not by its process: one that is started anew takes over from the one that died.
  options.client_name = client_name(flags.listen.front());
  client::Cluster cluster(process.env(), options);
  auto end = [&](int status) {
    (void)process.reactor().run_until_done(cluster.stop());
    return status;
  };
  for (const std::string& name : flags.volumes) {
    // Told here, at once, instead of to the first client.
    auto info = process.reactor().run_until_done(cluster.stat_volume(name));
    if (!info) return end(fail(info.error()));
  }
  const client::OpenOptions open{.mode = flags.read_only ? client::OpenMode::kReadOnly
                                         : flags.shared  ? client::OpenMode::kShared
                                                         : client::OpenMode::kExclusive,
                                 .force = flags.force,
                                 .replaces_own = true,
                                 .wait = kNbdOpenWait};
  nbd::VolumeSource source(process.env(), cluster, {.volumes = flags.volumes, .open = open});
  nbd::Server server(process.env(), {}, source);
  int status = 0;
  http::Server http(process.env());
  if (Status served = serve_http(http, process.env(), flags.http_listen, [] { return ok(); });
      !served) {
    status = fail(served.error());
  }
  for (const std::string& text : flags.listen) {
    if (status != 0) break;
    auto address = server.listen({text});
    if (!address) {
      status = fail(address.error());
      break;
    }
    const bool is_unix = address->text.starts_with("unix:");
    for (const std::string& volume : flags.volumes) {
      const std::string uri = is_unix
                                  ? "nbd+unix:///" + volume + "?socket=" + address->text.substr(5)
                                  : "nbd://" + address->text + "/" + volume;
      std::printf("NBD: %s\n", uri.c_str());
    }
    std::fflush(stdout);
  }
  if (status == 0) process.run_until_signal();
  process.reactor().run_until_done(server.stop());
  process.reactor().run_until_done(source.close());
  return end(status);
}

void add_schedule_options(CLI::App& command, mds::Options& options) {
  mds::ScheduleOptions& schedule = options.schedule;
  add_ms_option(command, "--unstable-after-ms", options.unstable_after,
                "a chunkserver that is silent for so long is given nothing new");
  add_ms_option(command, "--offline-after-ms", options.offline_after,
                "one that is silent for so long is given up: its replicas are made anew");
  add_ms_option(command, "--schedule-ms", schedule.interval,
                "between two rounds of the schedulers that heal and balance");
  const auto set_rest = [&schedule](int64_t ms) {
    schedule.planner.leader_rest_ms = static_cast<uint64_t>(ms);
  };
  command
      .add_option_function<int64_t>("--leader-rest-ms", set_rest,
                                    "a leader that moved, and a chunkserver that came back, rest "
                                    "so long before the next move")
      ->type_name("MS")
      ->check(CLI::Range(int64_t{0}, int64_t{3'600'000}))
      ->default_str(std::to_string(schedule.planner.leader_rest_ms));
  const auto count = [&command](const std::string& name, uint32_t& value, const std::string& help) {
    command.add_option(name, value, help)->check(CLI::Range(1u, 1'000'000u))->capture_default_str();
  };
  count("--copies-per-chunkserver", schedule.ledger.copies_per_chunkserver,
        "copies of replicas that a disk takes part in at once");
  count("--copies-per-server", schedule.ledger.copies_per_server, "the same for a machine");
  count("--copies-max", schedule.ledger.copies_in_cluster, "the same for the cluster");
  add_bytes_option(command, "--copy-rate", schedule.copy_bytes_per_second_max,
                   "bytes a second of each copy; 0: the chunkserver's own limit");
  command
      .add_option("--lost-part-max", schedule.planner.lost_part_max,
                  "recovery holds back while more than this part of a pool is offline")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

}  // namespace

void add_mds_command(CLI::App& app, Action& action) {
  auto flags = std::make_shared<MdsFlags>();
  CLI::App* command = app.add_subcommand("mds", "Run a metadata server");
  add_config_option(*command);
  auto* data =
      command->add_option("--data", flags->data, "folder of its database")->envname("CAIRN_DATA");
  command->add_option("--listen", flags->listen, "HOST:PORT")
      ->envname("CAIRN_LISTEN")
      ->capture_default_str();
  command
      ->add_option("--meta-store", flags->meta_store,
                   "where the metadata is kept: embedded (in --data, here or by all of --peers "
                   "together), or etcd (by --etcd-endpoints; needs no --data)")
      ->check(CLI::IsMember({"embedded", "etcd"}))
      ->envname("CAIRN_META_STORE")
      ->capture_default_str();
  add_etcd_options(*command, flags->etcd);
  command
      ->add_option("--advertise", flags->advertise,
                   "HOST:PORT that others connect to, with etcd (default: what it listens on)")
      ->envname("CAIRN_ADVERTISE");
  command
      ->add_option("--peers", flags->peers,
                   "all MDS of the cluster, this one too: ID=HOST:PORT,...; 1, 3 or 5 of them keep "
                   "the metadata together (default: this one alone)")
      ->delimiter(',')
      ->envname("CAIRN_PEERS");
  command->add_option("--id", flags->id, "of this MDS among --peers")->envname("CAIRN_ID");
  command->add_flag(
      "--init", flags->is_new,
      "the first start of all of --peers: makes their group; no later start needs it");
  command->add_option("--key-file", flags->key_file, "file with the cluster key")
      ->required()
      ->envname("CAIRN_KEY_FILE");
  add_http_option(*command, flags->http_listen);
  command
      ->add_option("--copysets-per-chunkserver", flags->options.pool.copysets_per_chunkserver,
                   "of a new cluster's pool")
      ->capture_default_str();
  command->add_option("--replicas", flags->options.pool.replicas_count, "of a new cluster's pool")
      ->capture_default_str();
  command
      ->add_option("--chunkservers-min", flags->options.pool.chunkservers_min,
                   "copysets are planned when so many have registered")
      ->capture_default_str();
  add_ms_option(*command, "--heartbeat-ms", flags->options.heartbeat_interval,
                "how often chunkservers report");
  const auto set_keep = [&keep = flags->options.deleted_volume_keep](int64_t s) {
    keep = std::chrono::seconds(s);
  };
  command
      ->add_option_function<int64_t>("--deleted-volume-keep-s", set_keep,
                                     "a deleted volume can be restored for so long; 0: not at all")
      ->type_name("S")
      ->check(CLI::Range(int64_t{0}, int64_t{365} * 86'400))
      ->envname("CAIRN_DELETED_VOLUME_KEEP_S")
      ->default_str(std::to_string(flags->options.deleted_volume_keep / 1s));
  add_schedule_options(*command, flags->options);
  add_log_options(*command, flags->log);
  command->callback([flags, data, &action] {
    const bool is_etcd = flags->meta_store == "etcd";
    if (!is_etcd && data->empty()) throw CLI::RequiredError("--data");
    if (is_etcd && flags->etcd.endpoints.empty()) throw CLI::RequiredError("--etcd-endpoints");
    if (is_etcd && !flags->peers.empty()) {
      throw CLI::ExcludesError("--peers", "--meta-store etcd");
    }
    // Leaders speak with the heartbeats: they are missed after a few of them, however rare.
    mds::Options& options = flags->options;
    options.leader_silent_max = std::max(options.leader_silent_max, 3 * options.heartbeat_interval);
    action = [flags] { return run_mds(*flags); };
  });
}

void add_chunkserver_command(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ChunkserverFlags>();
  chunkserver::Options& options = flags->options;
  CLI::App* command =
      app.add_subcommand("chunkserver", "Run the server of one disk, or look after such servers");
  add_chunkserver_admin_commands(*command, action);
  add_config_option(*command);
  // Needed by the server alone, not by the subcommands: so checked when it is run.
  command->add_option("--data", flags->data, "folder on the disk; made if it is absent (needed)")
      ->envname("CAIRN_DATA");
  command->add_option("--listen", flags->listen, "HOST:PORT; port 0: any")
      ->envname("CAIRN_LISTEN")
      ->capture_default_str();
  command
      ->add_option("--advertise", options.advertise,
                   "HOST:PORT that others connect to (default: what it listens on)")
      ->envname("CAIRN_ADVERTISE");
  command->add_option("--mds", flags->mds, "addresses of the metadata servers (needed)")
      ->delimiter(',')
      ->envname("CAIRN_MDS");
  command->add_option("--key-file", flags->key_file, "file with the cluster key (needed)")
      ->envname("CAIRN_KEY_FILE");
  add_http_option(*command, flags->http_listen);
  command->add_option("--zone", options.zone, "failure domain that replicas are spread over")
      ->envname("CAIRN_ZONE");
  command->add_option("--server", options.server, "machine that the disk is in");
  add_ms_option(*command, "--heartbeat-ms", options.heartbeat_interval,
                "between reports to the MDS");
  const std::string ticks = std::to_string(options.raft.election_ticks) + " to " +
                            std::to_string(2 * options.raft.election_ticks);
  add_ms_option(*command, "--tick-ms", options.raft.tick,
                "Raft's tick; a dead leader is noticed after " + ticks + " of them");
  add_bytes_option(*command, "--wal-max", options.wal.wal_bytes_max,
                   "size that the log is kept under");
  add_bytes_option(*command, "--snapshot-log", options.raft.snapshot_log_bytes,
                   "a copyset takes a snapshot after so much log");
  add_bytes_option(*command, "--retained-log", options.raft.retained_log_bytes,
                   "log of a copyset kept for replicas that lag");
  add_bytes_option(*command, "--fetch-rate", options.fetch_bytes_per_second,
                   "what lagging replicas here copy from others a second; 0: no limit");
  command
      ->add_option_function<int64_t>(
          "--scan-interval-hours",
          [&options](int64_t hours) { options.scan_interval = std::chrono::hours(hours); },
          "between two comparisons of a copyset's replicas, block by block")
      ->type_name("HOURS")
      ->check(CLI::Range(int64_t{1}, int64_t{24 * 365}))
      ->default_str(std::to_string(options.scan_interval / std::chrono::hours(1)));
  add_bytes_option(*command, "--scan-rate", options.scan_bytes_per_second,
                   "what a comparison reads a second on each replica; 0: no limit");
  command
      ->add_option("--pool-ready-min", options.pool.ready_min,
                   "chunk files kept ready; below it more are formatted")
      ->capture_default_str();
  command
      ->add_option("--pool-ready-target", options.pool.ready_target,
                   "chunk files that formatting goes on to")
      ->capture_default_str();
  add_bytes_option(*command, "--space-reserve", options.pool.space_reserve_bytes,
                   "space of the file system kept free for log and deletes");
  command
      ->add_option("--inject-flush-delay-ms", flags->flush_delay_ms,
                   "for tests: every durable write and sync of the disk takes so much longer")
      ->check(CLI::Range(0u, 60'000u))
      ->capture_default_str();
  add_log_options(*command, flags->log);
  command->callback([command, flags, &action] {
    if (!command->get_subcommands().empty()) return;
    for (const char* needed : {"--data", "--mds", "--key-file"}) {
      if (command->get_option(needed)->empty()) throw CLI::RequiredError(needed);
    }
    action = [flags] { return run_chunkserver(*flags); };
  });
}

void add_nbd_command(CLI::App& app, Action& action) {
  auto flags = std::make_shared<NbdFlags>();
  CLI::App* command = app.add_subcommand("nbd", "Export volumes over NBD");
  add_config_option(*command);
  command->add_option("VOLUME", flags->volumes, "volumes to export")->required();
  command->add_option("--listen", flags->listen, "unix:/PATH or HOST:PORT; may be repeated")
      ->required()
      ->envname("CAIRN_NBD_LISTEN");
  auto* read_only = command->add_flag("--read-only", flags->read_only,
                                      "export for reading, beside others that do not write alone");
  command
      ->add_flag("--shared", flags->shared,
                 "let others write too; for clients that agree among themselves, such as a cluster "
                 "file system (default: this server has the volume alone while a client is "
                 "connected)")
      ->excludes(read_only);
  command->add_flag("--force", flags->force,
                    "take a volume away from whoever has it open; their I/O fails from then on");
  add_http_option(*command, flags->http_listen);
  add_cluster_options(*command, flags->cluster);
  add_log_options(*command, flags->log);
  command->callback([flags, &action] { action = [flags] { return run_nbd(*flags); }; });
}

}  // namespace cairn::cli
