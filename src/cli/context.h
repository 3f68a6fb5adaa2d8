/// What every subcommand of `cairn` shares: how a cluster is named, and how a process is built.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "io/env.h"
#include "io/real/log_sink.h"
#include "io/real/reactor.h"
#include "rpc/cluster_key.h"

namespace CLI {
class App;
}

namespace cairn::cli {

/// Where a cluster is: a development cluster's folder, or MDS addresses and a key file.
struct ClusterOptions {
  std::string dir;
  std::vector<std::string> mds;
  std::string key_file;
};
void add_cluster_options(CLI::App& command, ClusterOptions& options);
/// The folder that commands use when --dir is not given.
std::string default_dev_dir();

struct ClusterTarget {
  std::vector<io::Address> mds;
  rpc::ClusterKey key;
};
/// kInvalidArgument or kNotFound, with what to pass or to run first.
Result<ClusterTarget> resolve(const ClusterOptions& options);
Result<rpc::ClusterKey> read_key_file(const std::string& path);

struct LogFlags {
  std::string file;
  std::string level = "info";
  bool json = false;
};
void add_log_options(CLI::App& command, LogFlags& flags);

/// A reactor with all that components are made of.
class Process {
 public:
  explicit Process(std::string name, const LogFlags& flags = {.level = "warn"});
  ~Process();

  io::real::Reactor& reactor() { return *reactor_; }
  io::Env env();
  /// Runs until SIGTERM or SIGINT.
  void run_until_signal();

 private:
  std::string name_;
  LogLevel level_ = LogLevel::kInfo;
  std::unique_ptr<io::real::SpdlogSink> sink_;
  std::unique_ptr<io::real::Reactor> reactor_;
  std::optional<BufferPool> buffers_;
  std::optional<Rng> rng_;
  std::optional<Registry> metrics_;
};

/// Prints "cairn: message" for a person; the exit status of a failed command.
int fail(const Error& error);
constexpr int kExitFailed = 1;

/// "1.5 GiB"; "4k", "1MiB", "10G" back to bytes.
std::string format_bytes(uint64_t bytes);
Result<uint64_t> parse_bytes(const std::string& text);

/// Options that write straight into what they configure, whose value is the default that --help
/// shows. Sizes are written as parse_bytes() takes them, times are 1 ms to 1 h.
void add_bytes_option(CLI::App& command, const std::string& name, uint64_t& value,
                      const std::string& help);
void add_ms_option(CLI::App& command, const std::string& name, Duration& value,
                   const std::string& help);

/// Columns aligned, with a heading.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// HOST:PID, or HOST:`what`: how this process is called where people see who has a volume open.
std::string client_name(const std::string& what = {});

/// Runs a task with a connected client, and ends with its exit status.
using ClientTask = std::function<io::Task<int>(io::Env, client::Cluster&)>;
int with_cluster(const ClusterOptions& options, const ClientTask& task);

}  // namespace cairn::cli
