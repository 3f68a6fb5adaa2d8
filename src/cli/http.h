/// What every long-running server offers over HTTP: /metrics for Prometheus and /healthz.
#pragma once

#include <functional>
#include <string>

#include "gateway/http/server.h"
#include "io/env.h"

namespace CLI {
class App;
}

namespace cairn::cli {

void add_http_option(CLI::App& command, std::string& address);

/// Adds the routes and listens; an empty address serves nothing. `health` is called for each
/// request and says why the server is not well.
Status serve_http(http::Server& server, io::Env env, const std::string& address,
                  std::function<Status()> health);

}  // namespace cairn::cli
