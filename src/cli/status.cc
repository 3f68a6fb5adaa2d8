// cairn status
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "wire/mds.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct StatusFlags {
  ClusterOptions cluster;
  bool as_json = false;
};

json to_json(const wire::ScheduleStatus& schedule) {
  json notes = json::array();
  for (const auto& note : schedule.notes()) notes.push_back(note);
  return {{"copies", schedule.copies_count()},
          {"transfers", schedule.transfers_count()},
          {"removals", schedule.removals_count()},
          {"replicas_lost", schedule.replicas_lost_count()},
          {"replicas_draining", schedule.replicas_draining_count()},
          {"copysets_degraded", schedule.copysets_degraded_count()},
          {"copysets_without_quorum", schedule.copysets_without_quorum_count()},
          {"copies_left", schedule.copies_left()},
          {"left_ms", schedule.left_ms()},
          {"notes", notes}};
}

json to_json(const wire::ClusterStatusReply& status) {
  json chunkservers = json::array();
  for (const auto& c : status.chunkservers()) {
    chunkservers.push_back({{"id", c.id()},
                            {"address", c.address()},
                            {"zone", c.zone()},
                            {"server", c.server()},
                            {"state", c.state()},
                            {"capacity_bytes", c.capacity_bytes()},
                            {"used_bytes", c.used_bytes()},
                            {"copysets", c.copysets_count()},
                            {"leaders", c.leaders_count()},
                            {"disk_error", c.disk_error()}});
  }
  json all_mds = json::array();
  for (const auto& mds : status.mds()) {
    all_mds.push_back({{"id", mds.name()},
                       {"address", mds.address()},
                       {"active", mds.is_active()},
                       {"state", mds.state()}});
  }
  json problems = json::array();
  for (const auto& problem : status.problems()) problems.push_back(problem);
  return {{"health", status.health()},
          {"problems", problems},
          {"mds", all_mds},
          {"chunkservers", chunkservers},
          {"copysets", status.copysets_count()},
          {"copysets_without_leader", status.copysets_without_leader_count()},
          {"volumes", status.volumes_count()},
          {"pool", status.pool()},
          {"schedule", to_json(status.schedule())},
          {"copysets_per_chunkserver", status.copysets_per_chunkserver()}};
}

/// What is under way, how far it is, and what a person may have to do; nothing on a quiet cluster.
void print(const wire::ScheduleStatus& schedule) {
  if (schedule.copies_count() + schedule.transfers_count() + schedule.removals_count() > 0) {
    std::printf("under way: %u copies, %u transfers of leaders, %u removals\n",
                schedule.copies_count(), schedule.transfers_count(), schedule.removals_count());
  }
  if (schedule.replicas_lost_count() + schedule.replicas_draining_count() > 0) {
    std::printf("replicas to make anew: %u lost, %u on chunkservers that are drained\n",
                schedule.replicas_lost_count(), schedule.replicas_draining_count());
  }
  if (schedule.copies_left() > 0) {
    std::printf("copies left: %.1f; time left: %s\n", schedule.copies_left(),
                schedule.left_ms() < 0 ? "not known yet"
                                       : ("about " + format_duration(schedule.left_ms())).c_str());
  }
  for (const auto& note : schedule.notes()) std::printf("  - %s\n", note.c_str());
}

void print(const wire::ClusterStatusReply& status) {
  std::printf("health: %s\n", status.health().c_str());
  for (const auto& problem : status.problems()) std::printf("  - %s\n", problem.c_str());
  std::printf("copysets: %u, without a leader: %u; volumes: %u\n", status.copysets_count(),
              status.copysets_without_leader_count(), status.volumes_count());
  print(status.schedule());
  std::printf("\n");
  if (status.mds_size() > 0) {
    std::vector<std::vector<std::string>> members{{"MDS", "ADDRESS", "STATE", "ROLE"}};
    for (const auto& mds : status.mds()) {
      members.push_back(
          {mds.name(), mds.address(), mds.state(), mds.is_active() ? "active" : "standby"});
    }
    print_table(members);
    std::printf("\n");
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "ADDRESS", "ZONE", "STATE", "USED", "CAPACITY", "COPYSETS", "LEADERS"}};
  for (const auto& c : status.chunkservers()) {
    rows.push_back({std::to_string(c.id()), c.address(), c.zone(), c.state(),
                    format_bytes(c.used_bytes()), format_bytes(c.capacity_bytes()),
                    std::to_string(c.copysets_count()), std::to_string(c.leaders_count())});
  }
  print_table(rows);
}

io::Task<int> show(client::Cluster* cluster, bool as_json) {
  auto status = co_await cluster->cluster_status();
  if (!status) co_return fail(status.error());
  if (as_json) {
    std::printf("%s\n", to_json(*status).dump().c_str());
  } else {
    print(*status);
  }
  co_return 0;
}

}  // namespace

void add_status_command(CLI::App& app, Action& action) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app.add_subcommand("status", "Show the cluster's health and its servers");
  add_cluster_options(*command, flags->cluster);
  command->add_flag("--json", flags->as_json, "print JSON");
  command->callback([flags, &action] {
    action = [flags] {
      return with_cluster(flags->cluster, [flags](io::Env, client::Cluster& cluster) {
        return show(&cluster, flags->as_json);
      });
    };
  });
}

}  // namespace cairn::cli
