#include "cli/admin.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace cairn::cli {

int with_admin(const AdminFlags& flags, const AdminTask& task) {
  auto target = resolve(flags.cluster);
  if (!target) return fail(target.error());
  Process process("admin");
  client::ClientOptions options;
  options.mds = target->mds;
  options.key = target->key;
  rpc::Client rpc(process.env(), {}, options.key);
  client::MdsCaller mds(process.env(), rpc, options);
  Admin admin(process.env(), mds, flags.as_json);
  const int status = process.reactor().run_until_done(task(admin));
  process.reactor().run_until_done(rpc.stop());
  return status;
}

CLI::App* add_admin_command(CLI::App& parent, Action& action, const std::string& name,
                            const std::string& help, std::shared_ptr<AdminFlags> flags,
                            AdminTask task) {
  CLI::App* command = parent.add_subcommand(name, help);
  add_cluster_options(*command, flags->cluster);
  command->add_flag("--json", flags->as_json, "print JSON");
  command->callback([flags, task = std::move(task), &action] {
    action = [flags, task] { return with_admin(*flags, task); };
  });
  return command;
}

void print_done(const Admin& admin, const std::string& text) {
  if (admin.as_json) {
    std::printf("%s\n", nlohmann::json{{"done", text}}.dump().c_str());
  } else {
    std::printf("%s\n", text.c_str());
  }
}

std::string join(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string joined;
  for (const auto& text : texts) joined += (joined.empty() ? "" : ",") + text;
  return joined.empty() ? "-" : joined;
}

std::string format_duration(int64_t ms) {
  const int64_t seconds = (ms + 999) / 1000;
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) {
    return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  }
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds / 60 % 60) + " min";
}

}  // namespace cairn::cli
