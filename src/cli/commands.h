/// The subcommands: each adds itself to the app and sets what is to run.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace cairn::cli {

/// Set by the subcommand that was chosen; returns the exit status.
using Action = std::function<int()>;

void add_mds_command(CLI::App& app, Action& action);
void add_chunkserver_command(CLI::App& app, Action& action);
void add_nbd_command(CLI::App& app, Action& action);
void add_volume_commands(CLI::App& app, Action& action);
void add_status_command(CLI::App& app, Action& action);
void add_copyset_commands(CLI::App& app, Action& action);
void add_operator_commands(CLI::App& app, Action& action);
void add_pool_commands(CLI::App& app, Action& action);
void add_zone_commands(CLI::App& app, Action& action);
void add_server_commands(CLI::App& app, Action& action);
/// Below `cairn chunkserver`, which runs the server when none of them is given.
void add_chunkserver_admin_commands(CLI::App& chunkserver, Action& action);
void add_topology_commands(CLI::App& app, Action& action);
void add_raft_commands(CLI::App& app, Action& action);
void add_scan_commands(CLI::App& app, Action& action);
void add_dev_commands(CLI::App& app, Action& action);
void add_bench_command(CLI::App& app, Action& action);
void add_meta_commands(CLI::App& app, Action& action);
void add_inspect_commands(CLI::App& app, Action& action);

}  // namespace cairn::cli
