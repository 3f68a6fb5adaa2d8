// cairn chunkserver list|set|drain|remove: what an administrator does with chunkservers. The server
// itself, `cairn chunkserver --data ...`, is in servers.cc.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "wire/topology.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct ChunkserverChoice {
  std::vector<uint64_t> ids;
  std::string service;
  std::vector<std::string> tags;
};

json to_json(const wire::ChunkserverTopology& info) {
  return {{"id", info.id()},
          {"address", info.address()},
          {"zone", info.zone()},
          {"server", info.server()},
          {"physical_pool", info.physical_pool()},
          {"state", info.state()},
          {"service", info.service()},
          {"tags", std::vector<std::string>(info.tags().begin(), info.tags().end())},
          {"capacity_bytes", info.capacity_bytes()},
          {"used_bytes", info.used_bytes()},
          {"copysets", info.copysets_count()},
          {"leaders", info.leaders_count()}};
}

io::Task<int> list(Admin& admin) {
  auto reply = co_await admin.call<wire::ShowTopologyReply>(wire::Method::kShowTopology,
                                                            wire::ShowTopologyRequest());
  if (!reply) co_return fail(reply.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{{"ID", "ADDRESS", "ZONE", "SERVER", "STATE", "SERVICE",
                                              "TAGS", "USED", "CAPACITY", "COPYSETS", "LEADERS"}};
  for (const auto& info : reply->chunkservers()) {
    all.push_back(to_json(info));
    rows.push_back({std::to_string(info.id()), info.address(), info.zone(), info.server(),
                    info.state(), info.service(), join(info.tags()),
                    format_bytes(info.used_bytes()), format_bytes(info.capacity_bytes()),
                    std::to_string(info.copysets_count()), std::to_string(info.leaders_count())});
  }
  if (admin.as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> set(Admin& admin, std::shared_ptr<ChunkserverChoice> choice, bool sets_tags) {
  wire::SetChunkserversRequest request;
  for (uint64_t id : choice->ids) request.add_chunkservers(id);
  if (!choice->service.empty()) {
    auto service = parse_service(choice->service);
    if (!service) co_return fail(service.error());
    request.set_sets_service(true);
    request.set_service(*service);
  }
  request.set_sets_tags(sets_tags);
  for (const std::string& tag : choice->tags) {
    if (!tag.empty()) request.add_tags(tag);
  }
  if (!request.sets_service() && !sets_tags) {
    co_return fail(error(Errc::kInvalidArgument, "nothing to set: give --service or --tags"));
  }
  co_return co_await set_chunkservers(admin, std::move(request));
}

io::Task<int> drain(Admin& admin, std::shared_ptr<ChunkserverChoice> choice) {
  choice->service = "draining";
  co_return co_await set(admin, choice, false);
}

io::Task<int> remove(Admin& admin, std::shared_ptr<ChunkserverChoice> choice) {
  for (uint64_t id : choice->ids) {
    wire::RemoveChunkserverRequest request;
    request.set_id(id);
    const int status =
        tell_done(admin,
                  co_await admin.call<wire::RemoveChunkserverReply>(
                      wire::Method::kRemoveChunkserver, request),
                  "chunkserver " + std::to_string(id) + " removed; stop its process");
    if (status != 0) co_return status;
  }
  co_return 0;
}

}  // namespace

Result<wire::ServiceState> parse_service(const std::string& name) {
  if (name == "read-write") return wire::SERVICE_READ_WRITE;
  if (name == "draining") return wire::SERVICE_DRAINING;
  if (name == "retired") return wire::SERVICE_RETIRED;
  return error(Errc::kInvalidArgument,
               "a service is read-write, draining or retired, not '" + name + "'");
}

io::Task<int> set_chunkservers(Admin& admin, wire::SetChunkserversRequest request) {
  auto reply =
      co_await admin.call<wire::SetChunkserversReply>(wire::Method::kSetChunkservers, request);
  if (!reply) co_return fail(reply.error());
  if (admin.as_json) {
    std::printf("%s\n", json{{"changed", reply->changed_count()}}.dump().c_str());
  } else if (request.sets_service() && request.service() == wire::SERVICE_DRAINING) {
    std::printf("%u chunkservers are drained now; watch it with: cairn status\n",
                reply->changed_count());
  } else {
    std::printf("%u chunkservers changed\n", reply->changed_count());
  }
  co_return 0;
}

void add_chunkserver_admin_commands(CLI::App& chunkserver, Action& action) {
  chunkserver.require_subcommand(0, 1);
  auto choice = std::make_shared<ChunkserverChoice>();
  auto shared = std::make_shared<AdminFlags>();
  auto tags = std::make_shared<CLI::Option*>(nullptr);
  const auto add = [&](const std::string& name, const std::string& help, AdminTask task) {
    CLI::App* c = add_admin_command(chunkserver, action, name, help, shared, std::move(task));
    c->add_option("ID", choice->ids, "one or more, as `cairn chunkserver list` shows them")
        ->required();
    return c;
  };
  add_admin_command(chunkserver, action, "list", "List the chunkservers", shared,
                    [](Admin& admin) { return list(admin); });
  CLI::App* c = add("set", "Change chunkservers", [choice, tags](Admin& admin) {
    return set(admin, choice, (*tags)->count() > 0);
  });
  c->add_option("--service", choice->service,
                "read-write, draining (emptied), or retired (not to be used again)")
      ->check(CLI::IsMember({"read-write", "draining", "retired"}));
  *tags =
      c->add_option("--tags", choice->tags, "its marks, such as ssd; \"\": none")->delimiter(',');
  add("drain", "Move all replicas off chunkservers; take it back with: set --service read-write",
      [choice](Admin& admin) { return drain(admin, choice); });
  add("remove", "Forget chunkservers that are drained",
      [choice](Admin& admin) { return remove(admin, choice); });
}

}  // namespace cairn::cli
