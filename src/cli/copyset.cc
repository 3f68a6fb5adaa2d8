// cairn copyset list|show|verify
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "rpc/client.h"
#include "wire/chunk.pb.h"
#include "wire/mds.pb.h"
#include "wire/methods.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

constexpr Duration kHashTimeout = 60s;
constexpr Duration kRetryDelay = 200ms;
/// Replicas apply what is committed within a heartbeat; a cluster under load never agrees.
constexpr int kTriesMax = 50;

struct CopysetFlags {
  ClusterOptions cluster;
  bool as_json = false;
  bool read_data = false;
  uint64_t id = 0;
};

io::Task<int> list(client::Cluster* cluster, bool as_json) {
  auto copysets = co_await cluster->get_copysets({});
  if (!copysets) co_return fail(copysets.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{{"COPYSET", "EPOCH", "MEMBERS", "LEADER"}};
  for (const auto& copyset : *copysets) {
    json members = json::array();
    std::string text;
    for (const auto& member : copyset.members()) {
      members.push_back({{"id", member.node()}, {"address", member.address()}});
      text += (text.empty() ? "" : ",") + std::to_string(member.node());
    }
    all.push_back({{"copyset", copyset.copyset()},
                   {"epoch", copyset.epoch()},
                   {"members", members},
                   {"leader", copyset.leader_node()}});
    rows.push_back({std::to_string(copyset.copyset()), std::to_string(copyset.epoch()), text,
                    copyset.leader_node() ? std::to_string(copyset.leader_node()) : "-"});
  }
  if (as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> show(Admin& admin, std::shared_ptr<CopysetFlags> flags) {
  wire::ShowCopysetRequest request;
  request.set_copyset(flags->id);
  auto reply = co_await admin.call<wire::ShowCopysetReply>(wire::Method::kShowCopyset, request);
  if (!reply) co_return fail(reply.error());
  if (admin.as_json) {
    std::string text;
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.always_print_primitive_fields = true;
    (void)google::protobuf::util::MessageToJsonString(*reply, &text, options);
    std::printf("%s\n", text.c_str());
    co_return 0;
  }
  std::printf("copyset %lu of pool %s: epoch %lu, %u chunks\n",
              static_cast<unsigned long>(flags->id), reply->pool().c_str(),
              static_cast<unsigned long>(reply->epoch()), reply->chunks_count());
  std::vector<std::vector<std::string>> rows{
      {"CHUNKSERVER", "ROLE", "STATE", "ZONE", "SERVER", "ADDRESS"}};
  for (const auto& member : reply->members()) {
    rows.push_back({std::to_string(member.chunkserver()), member.role(), member.state(),
                    member.zone(), member.server(), member.address()});
  }
  print_table(rows);
  if (reply->reported_ms_ago() < 0) {
    std::printf("no leader has been heard since this MDS started\n");
  } else {
    std::printf("its leader was heard %ld ms ago\n", static_cast<long>(reply->reported_ms_ago()));
  }
  if (reply->has_under_way()) {
    const wire::OperatorInfo& op = reply->under_way();
    std::printf("operator %lu (%s, %s): %s\n", static_cast<unsigned long>(op.id()),
                op.cause().c_str(), op.kind().c_str(), op.reason().c_str());
  }
  co_return 0;
}

/// What one replica says of a copyset.
struct ReplicaReport {
  uint64_t node = 0;
  wire::ChunkHashReply hashes;
};

struct Verdict {
  bool is_identical = false;
  bool is_comparable = true;  ///< all replicas answered, at one index
  std::string what;
};

std::string compare_chunks(const ReplicaReport& a, const ReplicaReport& b) {
  if (a.hashes.chunks_size() != b.hashes.chunks_size()) {
    return "chunkservers " + std::to_string(a.node) + " and " + std::to_string(b.node) + " hold " +
           std::to_string(a.hashes.chunks_size()) + " and " +
           std::to_string(b.hashes.chunks_size()) + " chunks";
  }
  for (int i = 0; i < a.hashes.chunks_size(); ++i) {
    const auto& x = a.hashes.chunks(i);
    const auto& y = b.hashes.chunks(i);
    if (x.chunk() != y.chunk() || x.crc32c() != y.crc32c() ||
        x.blocks_written_count() != y.blocks_written_count()) {
      return "chunk " + std::to_string(x.chunk()) + " differs on chunkservers " +
             std::to_string(a.node) + " and " + std::to_string(b.node);
    }
  }
  return {};
}

Verdict judge(const std::vector<ReplicaReport>& reports) {
  for (const ReplicaReport& report : reports) {
    if (report.hashes.applied_index() != reports.front().hashes.applied_index()) {
      return {.is_comparable = false, .what = "its replicas are being written to"};
    }
    for (const auto& chunk : report.hashes.chunks()) {
      if (chunk.blocks_corrupt_count() > 0) {
        return {.what = "chunk " + std::to_string(chunk.chunk()) + " has " +
                        std::to_string(chunk.blocks_corrupt_count()) +
                        " rotten blocks on chunkserver " + std::to_string(report.node)};
      }
    }
    if (std::string difference = compare_chunks(reports.front(), report); !difference.empty()) {
      return {.what = difference};
    }
  }
  return {.is_identical = true};
}

io::Task<Verdict> verify_once(rpc::Client* client, wire::CopysetInfo copyset, bool read_data) {
  std::vector<ReplicaReport> reports;
  for (const auto& member : copyset.members()) {
    wire::ChunkHashRequest request;
    request.set_copyset(copyset.copyset());
    request.set_read_data(read_data);
    auto answer = co_await client->call<wire::ChunkHashReply>(
        {member.address()}, wire::Method::kChunkHash, request, {}, kHashTimeout);
    if (!answer) {
      co_return Verdict{
          .is_comparable = false,
          .what = "chunkserver " + std::to_string(member.node()) + ": " + answer.error().message()};
    }
    reports.push_back({.node = member.node(), .hashes = std::move(answer->message)});
  }
  co_return judge(reports);
}

io::Task<int> verify(io::Env env, client::Cluster* cluster, rpc::Client* client,
                     const CopysetFlags* flags) {
  auto copysets = co_await cluster->get_copysets({});
  if (!copysets) co_return fail(copysets.error());
  size_t identical = 0, chunks_differ = 0;
  json findings = json::array();
  for (const auto& copyset : *copysets) {
    Verdict verdict;
    for (int tries = 0; tries < kTriesMax; ++tries) {
      verdict = co_await verify_once(client, copyset, flags->read_data);
      if (verdict.is_comparable) break;
      co_await env.clock.sleep(kRetryDelay);
    }
    if (verdict.is_identical) {
      ++identical;
      continue;
    }
    ++chunks_differ;
    findings.push_back({{"copyset", copyset.copyset()}, {"what", verdict.what}});
    if (!flags->as_json) {
      std::printf("copyset %lu: %s\n", static_cast<unsigned long>(copyset.copyset()),
                  verdict.what.c_str());
    }
  }
  if (flags->as_json) {
    std::printf(
        "%s\n",
        json{{"copysets", copysets->size()}, {"identical", identical}, {"findings", findings}}
            .dump()
            .c_str());
  } else {
    std::printf("%zu of %zu copysets have identical replicas\n", identical, copysets->size());
  }
  co_return chunks_differ == 0 ? 0 : kExitFailed;
}

int run_verify(const CopysetFlags& flags) {
  auto target = resolve(flags.cluster);
  if (!target) return fail(target.error());
  return with_cluster(flags.cluster, [&](io::Env env, client::Cluster& cluster) {
    struct Run {
      static io::Task<int> run(io::Env run_env, client::Cluster* of, rpc::ClusterKey key,
                               const CopysetFlags* f) {
        rpc::Client client(run_env, {}, std::move(key));
        const int status = co_await verify(run_env, of, &client, f);
        co_await client.stop();
        co_return status;
      }
    };
    return Run::run(env, &cluster, target->key, &flags);
  });
}

}  // namespace

void add_copyset_commands(CLI::App& app, Action& action) {
  CLI::App* copyset = app.add_subcommand("copyset", "List copysets, compare their replicas");
  copyset->require_subcommand(1);
  auto flags = std::make_shared<CopysetFlags>();
  CLI::App* c = copyset->add_subcommand("list", "List copysets with members and leader");
  add_cluster_options(*c, flags->cluster);
  c->add_flag("--json", flags->as_json, "print JSON");
  c->callback([flags, &action] {
    action = [flags] {
      return with_cluster(flags->cluster, [flags](io::Env, client::Cluster& cluster) {
        return list(&cluster, flags->as_json);
      });
    };
  });
  c = add_admin_command(
      *copyset, action, "show", "Show one copyset: its members, leader, and what is under way",
      std::make_shared<AdminFlags>(), [flags](Admin& admin) { return show(admin, flags); });
  c->add_option("COPYSET", flags->id, "its number")->required();
  c = copyset->add_subcommand("verify", "Compare the replicas of every copyset, block by block");
  add_cluster_options(*c, flags->cluster);
  c->add_flag("--json", flags->as_json, "print JSON");
  c->add_flag("--read-data", flags->read_data,
              "read every block and check it against its checksum");
  c->callback([flags, &action] { action = [flags] { return run_verify(*flags); }; });
}

}  // namespace cairn::cli
