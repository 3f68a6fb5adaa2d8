#include "gateway/http/server.h"

#include "gateway/http/session.h"

namespace cairn::http {

namespace {
constexpr Duration kSweepInterval = 1s;
}

Response text(std::string body, int status) {
  return {status, "text/plain; charset=utf-8", std::move(body)};
}

Response json(std::string body, int status) {
  return {status, "application/json", std::move(body)};
}

Server::Server(io::Env env, ServerOptions options)
    : env_(env),
      options_(options),
      requests_(env.metrics.counter("cairn_http_requests_total", "HTTP requests answered.")),
      sweep_timer_(env.clock, [this] { sweep(); }) {
  CHECK(options.connections_max > 0);
}

Server::~Server() = default;

void Server::route(std::string path, Handler handler) {
  CHECK(!listener_ && handler && path.starts_with('/'));
  CHECK(routes_.emplace(std::move(path), std::move(handler)).second, "a path has one handler");
}

Result<io::Address> Server::listen(io::Address address) {
  CHECK(!listener_, "one address a server");
  listener_ = TRY(env_.network.listen(
      std::move(address), [this](std::unique_ptr<io::Connection> c) { accept(std::move(c)); }));
  env_.logger.info("HTTP server listens", {{"address", listener_->address().text}});
  return listener_->address();
}

void Server::stop() {
  sweep_timer_.disarm();
  listener_.reset();
  sessions_.clear();
}

void Server::accept(std::unique_ptr<io::Connection> connection) {
  if (sessions_.size() >= options_.connections_max) {
    env_.logger.warn("an HTTP connection is refused: too many are open",
                     {{"peer", connection->peer().text}, {"limit", options_.connections_max}});
    return;
  }
  const uint64_t id = next_session_id_++;
  auto& session = sessions_[id] = std::make_unique<Session>(*this, id, std::move(connection));
  if (!sweep_timer_.armed()) sweep_timer_.arm_after(kSweepInterval);
  session->start();
}

void Server::forget(uint64_t session_id) {
  sessions_.erase(session_id);
}

Response Server::answer(const Request& request) {
  requests_.add();
  const auto found = routes_.find(request.path);
  if (found != routes_.end()) return found->second(request);
  std::string body = "There is nothing at this path. Served are:\n";
  for (const auto& [path, handler] : routes_) body += "  " + path + "\n";
  return text(std::move(body), 404);
}

void Server::sweep() {
  const Instant idle_since = env_.clock.now() - options_.idle_timeout;
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second->is_over(idle_since); });
  if (!sessions_.empty()) sweep_timer_.arm_after(kSweepInterval);
}

}  // namespace cairn::http
