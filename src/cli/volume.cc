// cairn volume create|list|stat|extend|rename|delete|restore|purge|sessions
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "wire/mds.pb.h"
#include "wire/session.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct VolumeFlags {
  ClusterOptions cluster;
  std::string name, new_name, size, folder, stripe_unit;
  client::VolumeOptions with;
  uint64_t id = 0;
  bool is_deleted = false, is_recursive = false, force = false, is_final = false;
  bool as_json = false;
};
using FlagsPointer = std::shared_ptr<VolumeFlags>;

std::string format_time(int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  char text[32];
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : text;
}

json to_json(const wire::VolumeInfo& info) {
  json value{{"id", info.id()},
             {"name", info.name()},
             {"size_bytes", info.size_bytes()},
             {"allocated_bytes", info.allocated_bytes()},
             {"chunk_bytes", info.chunk_bytes()},
             {"segment_bytes", info.segment_bytes()},
             {"pool", info.pool()},
             {"owner", info.owner()},
             {"stripe_unit_bytes", info.stripe_unit_bytes()},
             {"stripe_count", info.stripe_count()},
             {"created", format_time(info.created_unix_ns())}};
  if (info.deleted_unix_ns() != 0) value["deleted"] = format_time(info.deleted_unix_ns());
  if (info.expires_unix_ns() != 0) value["expires"] = format_time(info.expires_unix_ns());
  return value;
}

/// The volume as JSON, or a sentence; the exit status.
int tell(const VolumeFlags& flags, const wire::VolumeInfo& info, const std::string& sentence) {
  if (flags.as_json) {
    std::printf("%s\n", to_json(info).dump().c_str());
  } else {
    std::printf("%s\n", sentence.c_str());
  }
  return 0;
}

std::string socket_name(std::string volume) {
  std::ranges::replace(volume, '/', '-');
  return volume;
}

io::Task<int> create(client::Cluster* cluster, FlagsPointer flags) {
  auto size = parse_bytes(flags->size);
  if (!size) co_return fail(size.error());
  client::VolumeOptions with = flags->with;
  if (!flags->stripe_unit.empty()) {
    auto unit = parse_bytes(flags->stripe_unit);
    if (!unit) co_return fail(unit.error());
    // What does not fit is refused by the MDS, in its words.
    with.stripe_unit_bytes = static_cast<uint32_t>(std::min<uint64_t>(*unit, UINT32_MAX));
  }
  auto info = co_await cluster->create_volume(flags->name, *size, std::move(with));
  if (!info) co_return fail(info.error());
  co_return tell(*flags, *info,
                 "volume " + info->name() + " made: " + format_bytes(info->size_bytes()) +
                     "\nexport it: cairn nbd " + info->name() + " --listen unix:/tmp/" +
                     socket_name(info->name()) + ".sock");
}

void print_deleted(const wire::ListVolumesReply& reply) {
  std::vector<std::vector<std::string>> rows{
      {"ID", "NAME", "SIZE", "ALLOCATED", "OWNER", "DELETED", "EXPIRES"}};
  for (const auto& info : reply.volumes()) {
    rows.push_back({std::to_string(info.id()), info.name(), format_bytes(info.size_bytes()),
                    format_bytes(info.allocated_bytes()), or_dash(info.owner()),
                    format_time(info.deleted_unix_ns()), format_time(info.expires_unix_ns())});
  }
  print_table(rows);
}

void print_volumes(const wire::ListVolumesReply& reply) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "SIZE", "ALLOCATED", "OWNER", "POOL", "CREATED"}};
  for (const auto& folder : reply.folders()) {
    const std::string count = std::to_string(folder.volumes_count());
    rows.push_back(
        {folder.name() + "/", count + (count == "1" ? " volume" : " volumes"), "-", "-", "-", "-"});
  }
  for (const auto& info : reply.volumes()) {
    rows.push_back({info.name(), format_bytes(info.size_bytes()),
                    format_bytes(info.allocated_bytes()), or_dash(info.owner()), info.pool(),
                    format_time(info.created_unix_ns())});
  }
  print_table(rows);
}

io::Task<int> list(client::Cluster* cluster, FlagsPointer flags) {
  wire::ListVolumesRequest request;
  std::string folder = flags->folder;
  while (folder.ends_with('/')) folder.pop_back();
  request.set_folder(folder);
  request.set_is_direct(!flags->is_recursive);
  request.set_is_deleted(flags->is_deleted);
  auto reply = co_await cluster->list_volumes(std::move(request));
  if (!reply) co_return fail(reply.error());
  if (flags->as_json) {
    json all = json::array();
    for (const auto& one : reply->folders()) {
      all.push_back({{"folder", one.name()}, {"volumes", one.volumes_count()}});
    }
    for (const auto& info : reply->volumes()) all.push_back(to_json(info));
    std::printf("%s\n", all.dump().c_str());
  } else if (flags->is_deleted) {
    print_deleted(*reply);
  } else {
    print_volumes(*reply);
  }
  co_return 0;
}

io::Task<int> stat(client::Cluster* cluster, FlagsPointer flags) {
  wire::VolumeInfo info;
  std::string used_problem;
  auto found = co_await cluster->measure_volume(flags->name);
  if (found) {
    info = found->volume();
    used_problem = found->used_problem();
  } else {
    // To count takes longer than to look.
    auto looked = co_await cluster->stat_volume(flags->name);
    if (!looked) co_return fail(looked.error());
    info = std::move(*looked);
    used_problem = found.error().message();
  }
  json value = to_json(info);
  value["used_bytes"] = nullptr;
  if (used_problem.empty()) {
    value["used_bytes"] = info.used_bytes();
  } else {
    std::fprintf(stderr, "cairn: the used bytes are not known now: %s\n", used_problem.c_str());
  }
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

io::Task<int> extend(client::Cluster* cluster, FlagsPointer flags) {
  auto size = parse_bytes(flags->size);
  if (!size) co_return fail(size.error());
  auto info = co_await cluster->extend_volume(flags->name, *size);
  if (!info) co_return fail(info.error());
  co_return tell(*flags, *info,
                 "volume " + info->name() + " has " + format_bytes(info->size_bytes()) +
                     " now; NBD clients see it when they connect again");
}

io::Task<int> rename(client::Cluster* cluster, FlagsPointer flags) {
  auto info = co_await cluster->rename_volume(flags->name, flags->new_name);
  if (!info) co_return fail(info.error());
  co_return tell(*flags, *info, "volume " + flags->name + " is called " + info->name() + " now");
}

io::Task<int> remove(client::Cluster* cluster, FlagsPointer flags) {
  wire::DeleteVolumeRequest request;
  request.set_name(flags->name);
  request.set_force(flags->force);
  request.set_is_final(flags->is_final);
  auto info = co_await cluster->delete_volume(std::move(request));
  if (!info) co_return fail(info.error());
  const bool is_in_bin = info->expires_unix_ns() != 0;
  co_return tell(
      *flags, *info,
      is_in_bin
          ? "volume " + flags->name + " deleted; until " + format_time(info->expires_unix_ns()) +
                " it can be brought back: cairn volume restore --id " + std::to_string(info->id())
          : "volume " + flags->name + " deleted for good");
}

io::Task<int> restore(client::Cluster* cluster, FlagsPointer flags) {
  wire::RestoreVolumeRequest request;
  request.set_name(flags->name);
  request.set_id(flags->id);
  request.set_new_name(flags->new_name);
  auto info = co_await cluster->restore_volume(std::move(request));
  if (!info) co_return fail(info.error());
  co_return tell(*flags, *info, "volume " + info->name() + " is back");
}

io::Task<int> purge(client::Cluster* cluster, FlagsPointer flags) {
  wire::PurgeVolumeRequest request;
  request.set_name(flags->name);
  request.set_id(flags->id);
  auto info = co_await cluster->purge_volume(std::move(request));
  if (!info) co_return fail(info.error());
  co_return tell(*flags, *info, "volume " + info->name() + " is gone for good");
}

std::string mode_name(wire::SessionMode mode) {
  switch (mode) {
    case wire::SESSION_EXCLUSIVE:
      return "exclusive";
    case wire::SESSION_READ_ONLY:
      return "read-only";
    case wire::SESSION_SHARED:
      return "shared";
    default:
      return "unknown";
  }
}

io::Task<int> sessions(client::Cluster* cluster, FlagsPointer flags) {
  auto reply = co_await cluster->list_sessions(flags->name);
  if (!reply) co_return fail(reply.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{
      {"VOLUME", "CLIENT", "MODE", "FENCE", "OPENED", "RENEWED", "LEASE"}};
  for (const auto& info : reply->sessions()) {
    all.push_back({{"volume", info.volume()},
                   {"client", info.client()},
                   {"mode", mode_name(info.mode())},
                   {"fence", info.fence()},
                   {"opened", format_time(info.opened_unix_ns())},
                   {"silent_ms", info.silent_ms()},
                   {"live", info.is_live()}});
    rows.push_back({info.volume(), or_dash(info.client()), mode_name(info.mode()),
                    std::to_string(info.fence()), format_time(info.opened_unix_ns()),
                    format_duration(info.silent_ms()) + " ago", info.is_live() ? "runs" : "over"});
  }
  if (flags->as_json) {
    std::printf("%s\n", json{{"sessions", all}, {"count", reply->sessions_count()}}.dump().c_str());
    co_return 0;
  }
  print_table(rows);
  const auto shown = static_cast<uint32_t>(reply->sessions_size());
  if (shown < reply->sessions_count()) {
    std::printf("and %u more; name a volume\n", reply->sessions_count() - shown);
  }
  co_return 0;
}

using VolumeTask = io::Task<int> (*)(client::Cluster*, FlagsPointer);

/// Declares the subcommands of `cairn volume`.
class Commands {
 public:
  Commands(CLI::App& parent, Action& action) : parent_(parent), action_(action) {}

  CLI::App& add(const std::string& name, const std::string& help, VolumeTask task) {
    flags = std::make_shared<VolumeFlags>();
    CLI::App* command = parent_.add_subcommand(name, help);
    add_cluster_options(*command, flags->cluster);
    command->add_flag("--json", flags->as_json, "print JSON");
    command->callback([flags = flags, task, &action = action_] {
      action = [flags, task] {
        return with_cluster(flags->cluster, [flags, task](io::Env, client::Cluster& cluster) {
          return task(&cluster, flags);
        });
      };
    });
    return *command;
  }
  /// One in the recycle bin.
  void add_deleted_choice(CLI::App& command) {
    auto* which = command.add_option_group("which", "one of");
    which->add_option("NAME", flags->name, "as it was called");
    which->add_option("--id", flags->id,
                      "its number, as `cairn volume list --deleted` shows it: for when several "
                      "were called so");
    which->require_option(1);
  }

  FlagsPointer flags;  ///< of the command that was added last

 private:
  CLI::App& parent_;
  Action& action_;
};

void add_creation(Commands& commands) {
  CLI::App& c = commands.add("create", "Create a volume", create);
  VolumeFlags& flags = *commands.flags;
  c.add_option("NAME", flags.name, "its name; slashes make folders: team/db")->required();
  c.add_option("--size", flags.size, "its size, such as 10G")->required();
  c.add_option("--pool", flags.with.pool, "pool to take it from (default: the only one)");
  c.add_option("--owner", flags.with.owner, "whose it is, for people who look at the list");
  auto* unit = c.add_option("--stripe-unit", flags.stripe_unit,
                            "go on to the next chunk after so many bytes, such as 64K (default: "
                            "when a chunk is full)");
  auto* count = c.add_option("--stripe-count", flags.with.stripe_count,
                             "chunks that are filled side by side, such as 4");
  unit->needs(count);
  count->needs(unit);
}

void add_changes(Commands& commands) {
  CLI::App& e = commands.add("extend", "Make a volume larger, in use or not", extend);
  e.add_option("NAME", commands.flags->name, "its name")->required();
  e.add_option("--size", commands.flags->size, "its whole size from then on, such as 20G")
      ->required();
  CLI::App& r = commands.add("rename", "Rename a volume, in use or not", rename);
  r.add_option("NAME", commands.flags->name, "its name")->required();
  r.add_option("NEW_NAME", commands.flags->new_name, "its name from then on")->required();
}

void add_deletion(Commands& commands) {
  CLI::App& d =
      commands.add("delete", "Delete a volume: into the recycle bin, or for good", remove);
  d.add_option("NAME", commands.flags->name, "its name")->required();
  d.add_flag("--force", commands.flags->force, "also while somebody has it open");
  d.add_flag("--now", commands.flags->is_final, "for good: its space is free soon");
  CLI::App& r = commands.add("restore", "Bring a volume back from the recycle bin", restore);
  commands.add_deleted_choice(r);
  r.add_option("--as", commands.flags->new_name, "name it so (default: as it was called)");
  CLI::App& p = commands.add("purge", "Delete a volume in the recycle bin for good", purge);
  commands.add_deleted_choice(p);
}

}  // namespace

void add_volume_commands(CLI::App& app, Action& action) {
  CLI::App* volume = app.add_subcommand("volume", "Create, list, change and delete volumes");
  volume->require_subcommand(1);
  Commands commands(*volume, action);
  add_creation(commands);
  CLI::App& l = commands.add("list", "List the volumes of a folder", list);
  l.add_option("FOLDER", commands.flags->folder, "(default: the root)");
  l.add_flag("-r,--recursive", commands.flags->is_recursive, "and of all folders below");
  l.add_flag("--deleted", commands.flags->is_deleted, "those in the recycle bin");
  CLI::App& s = commands.add(
      "stat", "Show one volume, with the bytes that its chunks take on the disks", stat);
  s.add_option("NAME", commands.flags->name, "its name")->required();
  add_changes(commands);
  add_deletion(commands);
  CLI::App& o = commands.add("sessions", "Show who has volumes open", sessions);
  o.add_option("VOLUME", commands.flags->name, "(default: all)");
}

}  // namespace cairn::cli
