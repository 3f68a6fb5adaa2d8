// cairn volume create|list|stat|delete
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/context.h"
#include "wire/mds.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct VolumeFlags {
  ClusterOptions cluster;
  std::string name, size, pool;
  bool as_json = false;
};

std::string format_time(int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  char text[32];
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

json to_json(const wire::VolumeInfo& info) {
  return {{"id", info.id()},
          {"name", info.name()},
          {"size_bytes", info.size_bytes()},
          {"allocated_bytes", info.allocated_bytes()},
          {"chunk_bytes", info.chunk_bytes()},
          {"segment_bytes", info.segment_bytes()},
          {"pool", info.pool()},
          {"created", format_time(info.created_unix_ns())}};
}

io::Task<int> create(client::Cluster* cluster, std::shared_ptr<VolumeFlags> flags) {
  auto size = parse_bytes(flags->size);
  if (!size) co_return fail(size.error());
  auto info = co_await cluster->create_volume(flags->name, *size, flags->pool);
  if (!info) co_return fail(info.error());
  if (flags->as_json) {
    std::printf("%s\n", to_json(*info).dump().c_str());
  } else {
    std::printf("volume %s made: %s\nexport it: cairn nbd %s --listen unix:/tmp/%s.sock\n",
                info->name().c_str(), format_bytes(info->size_bytes()).c_str(),
                info->name().c_str(), info->name().c_str());
  }
  co_return 0;
}

io::Task<int> list(client::Cluster* cluster, std::shared_ptr<VolumeFlags> flags) {
  auto volumes = co_await cluster->list_volumes();
  if (!volumes) co_return fail(volumes.error());
  if (flags->as_json) {
    json all = json::array();
    for (const auto& info : *volumes) all.push_back(to_json(info));
    std::printf("%s\n", all.dump().c_str());
    co_return 0;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "SIZE", "ALLOCATED", "POOL", "CREATED"}};
  for (const auto& info : *volumes) {
    rows.push_back({info.name(), format_bytes(info.size_bytes()),
                    format_bytes(info.allocated_bytes()), info.pool(),
                    format_time(info.created_unix_ns())});
  }
  print_table(rows);
  co_return 0;
}

io::Task<int> stat(client::Cluster* cluster, std::shared_ptr<VolumeFlags> flags) {
  auto info = co_await cluster->stat_volume(flags->name);
  if (!info) co_return fail(info.error());
  const json value = to_json(*info);
  if (flags->as_json) {
    std::printf("%s\n", value.dump().c_str());
    co_return 0;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, field] : value.items()) {
    rows.push_back({key, field.is_string() ? field.get<std::string>() : field.dump()});
  }
  print_table(rows);
  co_return 0;
}

io::Task<int> remove(client::Cluster* cluster, std::shared_ptr<VolumeFlags> flags) {
  Status removed = co_await cluster->delete_volume(flags->name);
  if (!removed) co_return fail(removed.error());
  if (!flags->as_json) std::printf("volume %s deleted\n", flags->name.c_str());
  co_return 0;
}

using VolumeTask = io::Task<int> (*)(client::Cluster*, std::shared_ptr<VolumeFlags>);

CLI::App* add(CLI::App& parent, Action& action, const std::string& name, const std::string& help,
              std::shared_ptr<VolumeFlags> flags, VolumeTask task) {
  CLI::App* command = parent.add_subcommand(name, help);
  add_cluster_options(*command, flags->cluster);
  command->add_flag("--json", flags->as_json, "print JSON");
  command->callback([flags, task, &action] {
    action = [flags, task] {
      return with_cluster(flags->cluster, [flags, task](io::Env, client::Cluster& cluster) {
        return task(&cluster, flags);
      });
    };
  });
  return command;
}

}  // namespace

void add_volume_commands(CLI::App& app, Action& action) {
  CLI::App* volume = app.add_subcommand("volume", "Create, list and delete volumes");
  volume->require_subcommand(1);
  auto flags = std::make_shared<VolumeFlags>();
  CLI::App* c = add(*volume, action, "create", "Create a volume", flags, create);
  c->add_option("NAME", flags->name, "its name")->required();
  c->add_option("--size", flags->size, "its size, such as 10G")->required();
  c->add_option("--pool", flags->pool, "pool to take it from (default: the only one)");
  add(*volume, action, "list", "List the volumes", flags, list);
  c = add(*volume, action, "stat", "Show one volume", flags, stat);
  c->add_option("NAME", flags->name, "its name")->required();
  c = add(*volume, action, "delete", "Delete a volume and its data", flags, remove);
  c->add_option("NAME", flags->name, "its name")->required();
}

}  // namespace cairn::cli
