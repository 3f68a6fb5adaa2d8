#include "cli/http.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "io/real/process.h"

namespace cairn::cli {

namespace {

/// Under the names that dashboards expect of any process.
std::string process_metrics() {
  const io::real::ProcessUsage usage = io::real::own_usage();
  char text[1024];
  std::snprintf(text, sizeof(text),
                "# HELP process_cpu_seconds_total CPU time used, user and system.\n"
                "# TYPE process_cpu_seconds_total counter\n"
                "process_cpu_seconds_total %.3f\n"
                "# HELP process_open_fds Open file descriptors.\n"
                "# TYPE process_open_fds gauge\n"
                "process_open_fds %llu\n"
                "# HELP process_resident_memory_bytes Memory that is resident.\n"
                "# TYPE process_resident_memory_bytes gauge\n"
                "process_resident_memory_bytes %llu\n",
                static_cast<double>(usage.cpu_us) / 1e6,
                static_cast<unsigned long long>(usage.open_files_count),
                static_cast<unsigned long long>(usage.resident_bytes));
  return text;
}

http::Response health_response(const Status& health) {
  nlohmann::json body{{"healthy", health.ok()}};
  if (!health) body["why"] = health.error().message();
  return http::json(body.dump() + "\n", health ? 200 : 503);
}

}  // namespace

void add_http_option(CLI::App& command, std::string& address) {
  command
      .add_option("--http-listen", address,
                  "HOST:PORT of /metrics and /healthz (on an MDS also the console and /api/v1), "
                  "without authentication (default: none)")
      ->envname("CAIRN_HTTP_LISTEN");
}

Status serve_http(http::Server& server, io::Env env, const std::string& address,
                  std::function<Status()> health) {
  if (address.empty()) return ok();
  server.route("/metrics", [&metrics = env.metrics](const http::Request&) {
    http::Response response = http::text(metrics.render() + process_metrics());
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  });
  server.route("/healthz", [health = std::move(health)](const http::Request&) {
    return health_response(health());
  });
  TRY(server.listen({address}));
  return ok();
}

}  // namespace cairn::cli
