// cairn scan start|status
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/context.h"
#include "rpc/client.h"
#include "wire/mds.pb.h"
#include "wire/methods.h"
#include "wire/scan.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

constexpr Duration kCallTimeout = 5s;

struct ScanFlags {
  ClusterOptions cluster;
  uint64_t copyset = 0;
  bool as_json = false;
};

/// The chunkservers that lead copysets; of one copyset alone if it is named.
io::Task<Result<std::map<uint64_t, std::string>>> leaders(client::Cluster* cluster,
                                                          uint64_t copyset) {
  std::vector<CopysetId> wanted;
  if (copyset != 0) wanted.emplace_back(copyset);
  const auto copysets = CO_TRY(co_await cluster->get_copysets(std::move(wanted)));
  std::map<uint64_t, std::string> found;
  for (const auto& each : copysets) {
    for (const auto& member : each.members()) {
      if (member.node() == each.leader_node()) found[member.node()] = member.address();
    }
  }
  if (found.empty()) {
    co_return error(Errc::kNotFound, "no leader is known: see cairn copyset list, and try again");
  }
  co_return found;
}

io::Task<int> start(client::Cluster* cluster, rpc::Client* client, const ScanFlags* flags) {
  const auto servers = co_await leaders(cluster, flags->copyset);
  if (!servers) co_return fail(servers.error());
  uint64_t copysets_count = 0;
  int exit_status = 0;
  for (const auto& [node, address] : *servers) {
    wire::StartScanRequest request;
    request.set_copyset(flags->copyset);
    auto answer = co_await client->call<wire::StartScanReply>({address}, wire::Method::kStartScan,
                                                              request, {}, kCallTimeout);
    if (answer) {
      copysets_count += answer->message.copysets_count();
    } else {
      exit_status = fail(answer.error().within("chunkserver " + std::to_string(node)));
    }
  }
  if (flags->as_json) {
    std::printf("%s\n", json{{"copysets", copysets_count}}.dump().c_str());
  } else {
    std::printf("%lu copysets are being scanned, or wait; see cairn scan status\n",
                static_cast<unsigned long>(copysets_count));
  }
  co_return exit_status;
}

std::string describe_state(const wire::ScanStatus& scan) {
  if (scan.is_running()) return "running";
  if (scan.is_waiting()) return "waiting";
  return scan.finished_at_ns() != 0 ? "done" : "broken off";
}

std::string describe_time(int64_t since_1970_ns) {
  if (since_1970_ns == 0) return "-";
  const std::time_t seconds = since_1970_ns / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

json to_json(uint64_t node, const wire::ScanStatus& scan) {
  return {{"copyset", scan.copyset()},
          {"chunkserver", node},
          {"state", describe_state(scan)},
          {"chunks_done", scan.chunks_done_count()},
          {"chunks", scan.chunks_count()},
          {"rotten_blocks", scan.rotten_blocks_count()},
          {"differing_blocks", scan.differing_blocks_count()},
          {"undecided_blocks", scan.undecided_blocks_count()},
          {"absent_replicas", scan.absent_replicas_count()},
          {"finished_at", describe_time(scan.finished_at_ns())}};
}

std::vector<std::string> to_row(uint64_t node, const wire::ScanStatus& scan) {
  return {std::to_string(scan.copyset()),
          std::to_string(node),
          describe_state(scan),
          std::to_string(scan.chunks_done_count()) + "/" + std::to_string(scan.chunks_count()),
          std::to_string(scan.rotten_blocks_count()),
          std::to_string(scan.differing_blocks_count()),
          std::to_string(scan.undecided_blocks_count()),
          describe_time(scan.finished_at_ns())};
}

io::Task<int> status(client::Cluster* cluster, rpc::Client* client, const ScanFlags* flags) {
  const auto servers = co_await leaders(cluster, 0);
  if (!servers) co_return fail(servers.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{
      {"COPYSET", "LEADER", "STATE", "CHUNKS", "ROTTEN", "DIFFER", "UNDECIDED", "FINISHED"}};
  int exit_status = 0;
  for (const auto& [node, address] : *servers) {
    auto answer = co_await client->call<wire::ScanStatusReply>(
        {address}, wire::Method::kScanStatus, wire::ScanStatusRequest(), {}, kCallTimeout);
    if (!answer) {
      exit_status = fail(answer.error().within("chunkserver " + std::to_string(node)));
      continue;
    }
    for (const wire::ScanStatus& scan : answer->message.scans()) {
      all.push_back(to_json(node, scan));
      rows.push_back(to_row(node, scan));
    }
  }
  if (flags->as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return exit_status;
}

using Command = io::Task<int> (*)(client::Cluster*, rpc::Client*, const ScanFlags*);

int run(const ScanFlags& flags, Command command) {
  auto target = resolve(flags.cluster);
  if (!target) return fail(target.error());
  return with_cluster(flags.cluster, [&](io::Env env, client::Cluster& cluster) {
    struct Run {
      static io::Task<int> go(io::Env run_env, client::Cluster* of, rpc::ClusterKey key,
                              const ScanFlags* f, Command what) {
        rpc::Client client(run_env, {}, std::move(key));
        const int exit_status = co_await what(of, &client, f);
        co_await client.stop();
        co_return exit_status;
      }
    };
    return Run::go(env, &cluster, target->key, &flags, command);
  });
}

}  // namespace

void add_scan_commands(CLI::App& app, Action& action) {
  CLI::App* scan = app.add_subcommand("scan", "Compare replicas block by block, and mend them");
  scan->require_subcommand(1);
  auto flags = std::make_shared<ScanFlags>();
  CLI::App* c = scan->add_subcommand("start", "Scan copysets now instead of when they are due");
  add_cluster_options(*c, flags->cluster);
  c->add_option("--copyset", flags->copyset, "this one alone; 0: all")->capture_default_str();
  c->add_flag("--json", flags->as_json, "print JSON");
  c->callback([flags, &action] { action = [flags] { return run(*flags, start); }; });
  c = scan->add_subcommand("status", "What the last scan of each copyset found");
  add_cluster_options(*c, flags->cluster);
  c->add_flag("--json", flags->as_json, "print JSON");
  c->callback([flags, &action] { action = [flags] { return run(*flags, status); }; });
}

}  // namespace cairn::cli
