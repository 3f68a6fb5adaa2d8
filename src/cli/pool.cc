// cairn pool list|add|set|remove|balance-leaders
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "wire/schedule.pb.h"
#include "wire/topology.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct PoolFlags {
  std::string name;
  wire::PutPoolRequest put;
  std::vector<std::string> tags;
  uint32_t replicas = 0, copysets_per_chunkserver = 0, chunkservers_min = 0, scatter_width_min = 0;
};

json to_json(const wire::PoolInfo& info) {
  return {{"id", info.id()},
          {"name", info.name()},
          {"physical_pool", info.physical_pool()},
          {"tags", std::vector<std::string>(info.tags().begin(), info.tags().end())},
          {"replicas", info.replicas_count()},
          {"copysets_per_chunkserver", info.copysets_per_chunkserver()},
          {"chunkservers_min", info.chunkservers_min()},
          {"scatter_width_min", info.scatter_width_min()},
          {"chunk_bytes", info.chunk_bytes()},
          {"segment_bytes", info.segment_bytes()},
          {"chunkservers", info.chunkservers_count()},
          {"copysets", info.copysets_count()},
          {"capacity_bytes", info.capacity_bytes()},
          {"used_bytes", info.used_bytes()},
          {"copysets_planned", info.copysets_planned()}};
}

io::Task<int> list(Admin& admin) {
  auto reply = co_await admin.call<wire::ShowTopologyReply>(wire::Method::kShowTopology,
                                                            wire::ShowTopologyRequest());
  if (!reply) co_return fail(reply.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{{"NAME", "PHYSICAL POOL", "TAGS", "REPLICAS",
                                              "CHUNKSERVERS", "COPYSETS", "USED", "CAPACITY"}};
  for (const auto& info : reply->pools()) {
    all.push_back(to_json(info));
    rows.push_back({info.name(), info.physical_pool(), join(info.tags()),
                    std::to_string(info.replicas_count()),
                    std::to_string(info.chunkservers_count()),
                    std::to_string(info.copysets_count()), format_bytes(info.used_bytes()),
                    format_bytes(info.capacity_bytes())});
  }
  if (admin.as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> put(Admin& admin, std::shared_ptr<PoolFlags> flags, bool is_new, bool sets_tags) {
  wire::PutPoolRequest request = flags->put;
  request.set_name(flags->name);
  request.set_is_new(is_new);
  request.set_sets_tags(sets_tags);
  for (const std::string& tag : flags->tags) {
    if (!tag.empty()) request.add_tags(tag);
  }
  request.set_replicas_count(flags->replicas);
  request.set_copysets_per_chunkserver(flags->copysets_per_chunkserver);
  request.set_chunkservers_min(flags->chunkservers_min);
  request.set_scatter_width_min(flags->scatter_width_min);
  co_return tell_done(admin,
                      co_await admin.call<wire::PutPoolReply>(wire::Method::kPutPool, request),
                      "pool " + flags->name + (is_new ? " added" : " set"));
}

io::Task<int> remove(Admin& admin, std::shared_ptr<PoolFlags> flags) {
  wire::RemovePoolRequest request;
  request.set_name(flags->name);
  co_return tell_done(
      admin, co_await admin.call<wire::RemovePoolReply>(wire::Method::kRemovePool, request),
      "pool " + flags->name + " removed");
}

io::Task<int> balance_leaders(Admin& admin, std::shared_ptr<PoolFlags> flags) {
  wire::BalanceLeadersRequest request;
  request.set_pool(flags->name);
  auto reply =
      co_await admin.call<wire::BalanceLeadersReply>(wire::Method::kBalanceLeaders, request);
  if (!reply) co_return fail(reply.error());
  if (admin.as_json) {
    std::printf("%s\n", json{{"transfers", reply->transfers_count()}}.dump().c_str());
  } else if (reply->transfers_count() == 0) {
    std::printf("the leaders are as even as they can be\n");
  } else {
    std::printf("%u leaders move; watch them with: cairn operator list\n",
                reply->transfers_count());
  }
  co_return 0;
}

void add_put_command(CLI::App& parent, Action& action, const std::string& name,
                     const std::string& help, bool is_new) {
  auto flags = std::make_shared<PoolFlags>();
  auto tags = std::make_shared<CLI::Option*>(nullptr);
  CLI::App* c = add_admin_command(parent, action, name, help, std::make_shared<AdminFlags>(),
                                  [flags, is_new, tags](Admin& admin) {
                                    return put(admin, flags, is_new, (*tags)->count() > 0);
                                  });
  c->add_option("POOL", flags->name, "its name")->required();
  c->add_option_function<std::string>(
      "--physical-pool",
      [flags](const std::string& physical) { flags->put.set_physical_pool(physical); },
      "whose zones it takes its chunkservers from (default: default)");
  *tags = c->add_option("--tags", flags->tags,
                        "marks that its chunkservers bear, all of them; \"\": none")
              ->delimiter(',');
  const std::string otherwise = is_new ? " (default: the default pool's)" : "";
  c->add_option("--replicas", flags->replicas, "of each copyset" + otherwise);
  c->add_option("--copysets-per-chunkserver", flags->copysets_per_chunkserver,
                "the mean over its chunkservers" + otherwise);
  c->add_option("--chunkservers-min", flags->chunkservers_min,
                "its copysets are planned when it has so many (default: one for each replica)");
  c->add_option("--scatter-width-min", flags->scatter_width_min,
                "others that a chunkserver shares copysets with, at least");
}

}  // namespace

void add_pool_commands(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("pool", "Pools of chunkservers");
  parent->require_subcommand(1);
  auto flags = std::make_shared<PoolFlags>();
  auto shared = std::make_shared<AdminFlags>();
  add_admin_command(*parent, action, "list", "List the pools", shared,
                    [](Admin& admin) { return list(admin); });
  add_put_command(*parent, action, "add", "Add a pool", true);
  add_put_command(*parent, action, "set", "Change a pool", false);
  CLI::App* c = add_admin_command(*parent, action, "remove", "Remove a pool that was never used",
                                  shared, [flags](Admin& admin) { return remove(admin, flags); });
  c->add_option("POOL", flags->name, "its name")->required();
  c = add_admin_command(*parent, action, "balance-leaders",
                        "Even out a pool's leaders now, without rests and limits", shared,
                        [flags](Admin& admin) { return balance_leaders(admin, flags); });
  c->add_option("POOL", flags->name, "its name (default: the default pool)");
}

}  // namespace cairn::cli
