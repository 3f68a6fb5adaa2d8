#include "cli/console.h"

#include <nlohmann/json.hpp>

#include "gateway/http/console.h"

namespace cairn::cli {

namespace {

http::Response view_response(Result<std::string> view) {
  if (view) return http::json(std::move(*view));
  const int status = view.code() == Errc::kNotFound ? 404 : 503;
  return http::json(nlohmann::json{{"error", view.error().message()}}.dump(), status);
}

}  // namespace

void add_console(http::Server& server, const std::vector<std::string>& views, ViewSource source) {
  for (const std::string& name : views) {
    server.route("/api/v1/" + name,
                 [source, name](const http::Request&) { return view_response(source(name)); });
  }
  server.route("/", [](const http::Request&) {
    http::Response page = http::text(std::string(http::console_page()));
    page.content_type = "text/html; charset=utf-8";
    return page;
  });
}

}  // namespace cairn::cli
