// cairn zone|server add|list|set|drain|remove
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "wire/topology.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct PlaceFlags {
  std::string name, zone, physical_pool, service;
};

io::Task<Result<wire::ShowTopologyReply>> topology(Admin& admin) {
  return admin.call<wire::ShowTopologyReply>(wire::Method::kShowTopology,
                                             wire::ShowTopologyRequest());
}

io::Task<int> list_zones(Admin& admin) {
  auto reply = co_await topology(admin);
  if (!reply) co_return fail(reply.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{
      {"ZONE", "PHYSICAL POOL", "SERVERS", "CHUNKSERVERS", "USED", "CAPACITY"}};
  for (const auto& info : reply->zones()) {
    all.push_back({{"name", info.name()},
                   {"physical_pool", info.physical_pool()},
                   {"servers", info.servers_count()},
                   {"chunkservers", info.chunkservers_count()},
                   {"capacity_bytes", info.capacity_bytes()},
                   {"used_bytes", info.used_bytes()}});
    rows.push_back({info.name(), info.physical_pool(), std::to_string(info.servers_count()),
                    std::to_string(info.chunkservers_count()), format_bytes(info.used_bytes()),
                    format_bytes(info.capacity_bytes())});
  }
  if (admin.as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> list_servers(Admin& admin) {
  auto reply = co_await topology(admin);
  if (!reply) co_return fail(reply.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{
      {"ZONE", "SERVER", "CHUNKSERVERS", "ONLINE", "USED", "CAPACITY"}};
  for (const auto& info : reply->servers()) {
    all.push_back({{"zone", info.zone()},
                   {"name", info.name()},
                   {"chunkservers", info.chunkservers_count()},
                   {"chunkservers_online", info.chunkservers_online_count()},
                   {"capacity_bytes", info.capacity_bytes()},
                   {"used_bytes", info.used_bytes()}});
    rows.push_back({info.zone(), info.name(), std::to_string(info.chunkservers_count()),
                    std::to_string(info.chunkservers_online_count()),
                    format_bytes(info.used_bytes()), format_bytes(info.capacity_bytes())});
  }
  if (admin.as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> put_zone(Admin& admin, std::shared_ptr<PlaceFlags> flags, bool is_new) {
  wire::PutZoneRequest request;
  request.set_name(flags->name);
  request.set_is_new(is_new);
  request.set_physical_pool(flags->physical_pool);
  co_return tell_done(admin,
                      co_await admin.call<wire::PutZoneReply>(wire::Method::kPutZone, request),
                      "zone " + flags->name + (is_new ? " added" : " set"));
}

io::Task<int> remove_zone(Admin& admin, std::shared_ptr<PlaceFlags> flags) {
  wire::RemoveZoneRequest request;
  request.set_name(flags->name);
  co_return tell_done(
      admin, co_await admin.call<wire::RemoveZoneReply>(wire::Method::kRemoveZone, request),
      "zone " + flags->name + " removed");
}

io::Task<int> add_server(Admin& admin, std::shared_ptr<PlaceFlags> flags) {
  wire::PutServerRequest request;
  request.set_name(flags->name);
  request.set_zone(flags->zone);
  co_return tell_done(admin,
                      co_await admin.call<wire::PutServerReply>(wire::Method::kPutServer, request),
                      "server " + flags->name + " of zone " + flags->zone + " added");
}

io::Task<int> remove_server(Admin& admin, std::shared_ptr<PlaceFlags> flags) {
  wire::RemoveServerRequest request;
  request.set_name(flags->name);
  request.set_zone(flags->zone);
  co_return tell_done(
      admin, co_await admin.call<wire::RemoveServerReply>(wire::Method::kRemoveServer, request),
      "server " + flags->name + " of zone " + flags->zone + " removed");
}

/// Of all chunkservers in a zone, or on a server of it.
io::Task<int> set_service(Admin& admin, std::string zone, std::string server, std::string service) {
  auto parsed = parse_service(service);
  if (!parsed) co_return fail(parsed.error());
  wire::SetChunkserversRequest request;
  request.set_zone(zone);
  request.set_server(server);
  request.set_sets_service(true);
  request.set_service(*parsed);
  co_return co_await set_chunkservers(admin, std::move(request));
}

void add_service_option(CLI::App& command, std::string& service) {
  command.add_option("--service", service, "read-write, draining or retired: of its chunkservers")
      ->check(CLI::IsMember({"read-write", "draining", "retired"}));
}

io::Task<int> set_zone(Admin& admin, std::shared_ptr<PlaceFlags> flags) {
  if (flags->physical_pool.empty() && flags->service.empty()) {
    co_return fail(
        error(Errc::kInvalidArgument, "nothing to set: give --physical-pool or --service"));
  }
  if (!flags->physical_pool.empty()) {
    if (const int status = co_await put_zone(admin, flags, false); status != 0) co_return status;
  }
  if (flags->service.empty()) co_return 0;
  co_return co_await set_service(admin, flags->name, "", flags->service);
}

}  // namespace

void add_zone_commands(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("zone", "Zones: failure domains of replicas");
  parent->require_subcommand(1);
  auto flags = std::make_shared<PlaceFlags>();
  auto shared = std::make_shared<AdminFlags>();
  const auto add = [&](const std::string& name, const std::string& help, AdminTask task) {
    CLI::App* c = add_admin_command(*parent, action, name, help, shared, std::move(task));
    c->add_option("ZONE", flags->name, "its name")->required();
    return c;
  };
  add_admin_command(*parent, action, "list", "List the zones", shared,
                    [](Admin& admin) { return list_zones(admin); });
  CLI::App* c = add("add", "Declare a zone, before or after a chunkserver names it",
                    [flags](Admin& admin) { return put_zone(admin, flags, true); });
  c->add_option("--physical-pool", flags->physical_pool, "it belongs to (default: default)");
  c = add("set", "Change a zone, or the service of its chunkservers",
          [flags](Admin& admin) { return set_zone(admin, flags); });
  c->add_option("--physical-pool", flags->physical_pool, "it belongs to; it has to be empty");
  add_service_option(*c, flags->service);
  add("drain", "Move all replicas out of a zone",
      [flags](Admin& admin) { return set_service(admin, flags->name, "", "draining"); });
  add("remove", "Forget a zone in which nothing is",
      [flags](Admin& admin) { return remove_zone(admin, flags); });
}

void add_server_commands(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("server", "Servers: machines with chunkservers");
  parent->require_subcommand(1);
  auto flags = std::make_shared<PlaceFlags>();
  auto shared = std::make_shared<AdminFlags>();
  const auto add = [&](const std::string& name, const std::string& help, AdminTask task) {
    CLI::App* c = add_admin_command(*parent, action, name, help, shared, std::move(task));
    c->add_option("SERVER", flags->name, "its name")->required();
    c->add_option("--zone", flags->zone, "that it is in")->required();
    return c;
  };
  add_admin_command(*parent, action, "list", "List the servers", shared,
                    [](Admin& admin) { return list_servers(admin); });
  add("add", "Declare a server of a zone",
      [flags](Admin& admin) { return add_server(admin, flags); });
  CLI::App* c = add("set", "Set the service of a server's chunkservers", [flags](Admin& admin) {
    return set_service(admin, flags->zone, flags->name, flags->service);
  });
  add_service_option(*c, flags->service);
  c->get_option("--service")->required();
  add("drain", "Move all replicas off a server",
      [flags](Admin& admin) { return set_service(admin, flags->zone, flags->name, "draining"); });
  add("remove", "Forget a server without chunkservers",
      [flags](Admin& admin) { return remove_server(admin, flags); });
}

}  // namespace cairn::cli
