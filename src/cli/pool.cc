// cairn pool balance-leaders
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "wire/schedule.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct PoolFlags {
  std::string pool;
};

io::Task<int> balance_leaders(Admin& admin, std::shared_ptr<PoolFlags> flags) {
  wire::BalanceLeadersRequest request;
  request.set_pool(flags->pool);
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

}  // namespace

void add_pool_commands(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("pool", "Pools of chunkservers");
  parent->require_subcommand(1);
  auto flags = std::make_shared<PoolFlags>();
  CLI::App* c = add_admin_command(*parent, action, "balance-leaders",
                                  "Even out a pool's leaders now, without rests and limits",
                                  std::make_shared<AdminFlags>(),
                                  [flags](Admin& admin) { return balance_leaders(admin, flags); });
  c->add_option("POOL", flags->pool, "its name (default: the only one)");
}

}  // namespace cairn::cli
