// cairn: one program, a subcommand for each role.
#include <CLI/CLI.hpp>
#include <csignal>

#include "cli/commands.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{
      "Cairn: replicated block storage on Raft.\n"
      "Start here: cairn dev up   (a whole cluster on this machine)"};
  app.name("cairn");
  app.require_subcommand(1);
  app.set_version_flag("--version", "cairn 0.1.0");
  app.get_formatter()->column_width(34);

  cairn::cli::Action action;
  cairn::cli::add_dev_commands(app, action);
  cairn::cli::add_status_command(app, action);
  cairn::cli::add_volume_commands(app, action);
  cairn::cli::add_copyset_commands(app, action);
  cairn::cli::add_operator_commands(app, action);
  cairn::cli::add_pool_commands(app, action);
  cairn::cli::add_zone_commands(app, action);
  cairn::cli::add_server_commands(app, action);
  cairn::cli::add_topology_commands(app, action);
  cairn::cli::add_raft_commands(app, action);
  cairn::cli::add_scan_commands(app, action);
  cairn::cli::add_nbd_command(app, action);
  cairn::cli::add_bench_command(app, action);
  cairn::cli::add_inspect_commands(app, action);
  cairn::cli::add_meta_commands(app, action);
  cairn::cli::add_mds_command(app, action);
  cairn::cli::add_chunkserver_command(app, action);
  CLI11_PARSE(app, argc, argv);
  return action();
}
