// cairn topology apply|show
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "cli/topology_file.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct ApplyFlags {
  std::string file;
  bool yes = false;
  bool dry_run = false;
};

io::Task<Status> carry_out(Admin& admin, TopologyStep step) {
  if (auto* pool = std::get_if<wire::PutPoolRequest>(&step.request)) {
    CO_TRY(co_await admin.call<wire::PutPoolReply>(wire::Method::kPutPool, *pool));
  } else if (auto* zone = std::get_if<wire::PutZoneRequest>(&step.request)) {
    CO_TRY(co_await admin.call<wire::PutZoneReply>(wire::Method::kPutZone, *zone));
  } else if (auto* server = std::get_if<wire::PutServerRequest>(&step.request)) {
    CO_TRY(co_await admin.call<wire::PutServerReply>(wire::Method::kPutServer, *server));
  } else {
    CO_TRY(co_await admin.call<wire::SetChunkserversReply>(
        wire::Method::kSetChunkservers, std::get<wire::SetChunkserversRequest>(step.request)));
  }
  co_return ok();
}

/// Whether a person agrees; nobody is asked where there is no terminal.
Result<bool> is_agreed(const ApplyFlags& flags) {
  if (flags.yes) return true;
  if (!isatty(STDIN_FILENO)) {
    return error(Errc::kInvalidArgument,
                 "nothing was changed: pass --yes to carry it out, or --dry-run to see it only");
  }
  std::printf("carry it out? [y/N] ");
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

io::Task<int> apply(Admin& admin, std::shared_ptr<ApplyFlags> flags) {
  std::ifstream file(flags->file);
  if (!file) co_return fail(error(Errc::kNotFound, flags->file + " cannot be read"));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  auto present = co_await admin.call<wire::ShowTopologyReply>(wire::Method::kShowTopology,
                                                              wire::ShowTopologyRequest());
  if (!present) co_return fail(present.error());
  auto steps = plan_topology(text, flags->file.ends_with(".json"), *present);
  if (!steps) co_return fail(steps.error().within(flags->file));
  json plan = json::array();
  for (const TopologyStep& step : *steps) plan.push_back(step.what);
  if (admin.as_json) {
    const bool will_do = flags->yes && !flags->dry_run;
    std::printf("%s\n", json{{"plan", plan}, {"applied", will_do}}.dump().c_str());
  } else if (steps->empty()) {
    std::printf("the cluster is as %s says\n", flags->file.c_str());
  } else {
    for (const TopologyStep& step : *steps) std::printf("  %s\n", step.what.c_str());
  }
  if (flags->dry_run || steps->empty()) co_return 0;
  const auto agreed = is_agreed(*flags);
  if (!agreed) co_return fail(agreed.error());
  if (!*agreed) co_return fail(error(Errc::kInvalidArgument, "nothing was changed"));
  size_t done = 0;
  for (TopologyStep& step : *steps) {
    const std::string what = step.what;
    if (const Status carried = co_await carry_out(admin, std::move(step)); !carried) {
      co_return fail(carried.error().within(what + " failed after " + std::to_string(done) +
                                            " steps; mend that and apply the file again"));
    }
    ++done;
  }
  if (!admin.as_json) std::printf("done: %zu steps\n", done);
  co_return 0;
}

}  // namespace

void add_topology_commands(CLI::App& app, Action& action) {
  CLI::App* parent =
      app.add_subcommand("topology", "Pools, zones, servers and chunkservers at once");
  parent->require_subcommand(1);
  auto flags = std::make_shared<ApplyFlags>();
  CLI::App* c = add_admin_command(
      *parent, action, "apply", "Make the cluster as a file says; what is so already is left alone",
      std::make_shared<AdminFlags>(), [flags](Admin& admin) { return apply(admin, flags); });
  c->add_option("FILE", flags->file,
                "TOML, or JSON if its name ends so; docs/howto/topology-file.md")
      ->required();
  c->add_flag("--yes", flags->yes, "carry the plan out without a question");
  c->add_flag("--dry-run", flags->dry_run, "only print the plan");
}

}  // namespace cairn::cli
