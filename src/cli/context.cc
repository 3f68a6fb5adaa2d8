#include "cli/context.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/dev_state.h"

namespace cairn::cli {

std::string default_dev_dir() {
  if (const char* dir = std::getenv("CAIRN_DEV_DIR")) return dir;
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  if (state && *state) return std::string(state) + "/cairn/dev";
  return std::string(home && *home ? home : "/tmp") + "/.local/state/cairn/dev";
}

void add_cluster_options(CLI::App& command, ClusterOptions& options) {
  command
      .add_option("--dir", options.dir,
                  "folder of a development cluster (default: " + default_dev_dir() + ")")
      ->envname("CAIRN_DIR");
  command.add_option("--mds", options.mds, "addresses of the metadata servers, HOST:PORT")
      ->envname("CAIRN_MDS")
      ->delimiter(',');
  command.add_option("--key-file", options.key_file, "file with the cluster key")
      ->envname("CAIRN_KEY_FILE");
}

Result<rpc::ClusterKey> read_key_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return error(Errc::kNotFound, "the key file " + path + " cannot be read; pass --key-file");
  }
  std::string text((std::istreambuf_iterator<char>(file)), {});
  auto key = rpc::parse_cluster_key(text);
  if (!key) return key.error().within(path);
  return key;
}

Result<ClusterTarget> resolve(const ClusterOptions& options) {
  ClusterTarget target;
  if (!options.mds.empty()) {
    if (options.key_file.empty()) {
      return error(Errc::kInvalidArgument, "--mds needs --key-file, the cluster's key");
    }
    for (const std::string& address : options.mds) target.mds.push_back({address});
    target.key = TRY(read_key_file(options.key_file));
    return target;
  }
  const std::string dir = options.dir.empty() ? default_dev_dir() : options.dir;
  const DevState state = TRY(load_dev_state(dir));
  for (const DevProcess& one : state.mds) target.mds.push_back({one.address});
  target.key = TRY(read_key_file(options.key_file.empty() ? state.key_file() : options.key_file));
  return target;
}

void add_log_options(CLI::App& command, LogFlags& flags) {
  command.add_option("--log-file", flags.file, "append the log to this file (default: stderr)")
      ->envname("CAIRN_LOG_FILE");
  command.add_option("--log-level", flags.level, "least severe level that is logged")
      ->envname("CAIRN_LOG_LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  command.add_flag("--log-json", flags.json, "one JSON object a line")->envname("CAIRN_LOG_JSON");
}

namespace {

LogLevel parse_level(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warn") return LogLevel::kWarn;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

uint64_t seed_from(io::Entropy& entropy) {
  std::array<std::byte, 8> bytes;
  entropy.fill(bytes);
  return load<uint64_t>(bytes);
}

}  // namespace

Process::Process(std::string name, const LogFlags& flags)
    : name_(std::move(name)), level_(parse_level(flags.level)) {
  auto sink = io::real::SpdlogSink::open({.file_path = flags.file, .json = flags.json});
  if (!sink) {
    std::fprintf(stderr, "cairn: %s\n", sink.error().message().c_str());
    std::exit(kExitFailed);
  }
  sink_ = std::move(*sink);
  reactor_ = std::make_unique<io::real::Reactor>(
      io::real::ReactorOptions{.logger = Logger(*sink_, name_, level_)});
  buffers_.emplace(size_t{256} << 20);
  rng_.emplace(seed_from(reactor_->entropy()));
  metrics_.emplace();
}

Process::~Process() = default;

io::Env Process::env() {
  return io::Env{.executor = *reactor_,
                 .clock = reactor_->clock(),
                 .network = reactor_->network(),
                 .entropy = reactor_->entropy(),
                 .buffers = *buffers_,
                 .rng = *rng_,
                 .logger = Logger(*sink_, name_, level_),
                 .metrics = *metrics_};
}

void Process::run_until_signal() {
  for (int signal : {SIGTERM, SIGINT}) {
    reactor_->on_signal(signal, [this] { reactor_->stop(); });
  }
  reactor_->run();
}

int fail(const Error& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "cairn: %s\n", error.message().c_str());
  return kExitFailed;
}

std::string format_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  auto value = static_cast<double>(bytes);
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  const bool whole = value == static_cast<double>(static_cast<uint64_t>(value));
  std::snprintf(text, sizeof(text), whole ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

Result<uint64_t> parse_bytes(const std::string& text) {
  const auto bad = error(Errc::kInvalidArgument,
                         "\"" + text + "\" is no size; write 4096, 4k, 64KiB, 10G or 1TiB");
  size_t end = 0;
  while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
  if (end == 0 || end > 15) return bad;
  uint64_t value = std::stoull(text.substr(0, end));
  if (end < text.size() && text[end] == ' ') ++end;  // As format_bytes() writes it.
  std::string suffix = text.substr(end);
  if (suffix.empty() || suffix == "B") return value;
  static constexpr std::string_view kPrefixes = "KMGTP";
  const auto prefix =
      kPrefixes.find(static_cast<char>(std::toupper(static_cast<unsigned char>(suffix[0]))));
  const std::string rest = suffix.substr(1);
  if (prefix == std::string_view::npos || !(rest.empty() || rest == "iB" || rest == "B")) {
    return bad;
  }
  for (size_t i = 0; i <= prefix; ++i) {
    if (value > UINT64_MAX / 1024) return bad;
    value *= 1024;
  }
  return value;
}

void add_bytes_option(CLI::App& command, const std::string& name, uint64_t& value,
                      const std::string& help) {
  const auto parse = [&value](const std::string& text) {
    auto bytes = parse_bytes(text);
    if (!bytes) throw CLI::ValidationError(bytes.error().message());
    value = *bytes;
  };
  command.add_option_function<std::string>(name, parse, help)
      ->type_name("SIZE")
      ->default_str(format_bytes(value));
}

void add_ms_option(CLI::App& command, const std::string& name, Duration& value,
                   const std::string& help) {
  const auto set = [&value](int64_t ms) { value = std::chrono::milliseconds(ms); };
  command.add_option_function<int64_t>(name, set, help)
      ->type_name("MS")
      ->check(CLI::Range(int64_t{1}, int64_t{3'600'000}))
      ->default_str(std::to_string(value / 1ms));
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

std::string client_name(const std::string& what) {
  char host[256] = {};
  if (::gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  return std::string(*host ? host : "localhost") + ":" +
         (what.empty() ? std::to_string(::getpid()) : what);
}

int with_cluster(const ClusterOptions& options, const ClientTask& task) {
  auto target = resolve(options);
  if (!target) return fail(target.error());
  Process process("client");
  client::ClientOptions client_options;
  client_options.mds = target->mds;
  client_options.key = target->key;
  client_options.op_deadline = 10s;
  client_options.client_name = client_name();
  client::Cluster cluster(process.env(), client_options);
  const int status = process.reactor().run_until_done(task(process.env(), cluster));
  (void)process.reactor().run_until_done(cluster.stop());
  return status;
}

}  // namespace cairn::cli
