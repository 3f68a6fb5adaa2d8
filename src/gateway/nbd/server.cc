#include "gateway/nbd/server.h"

namespace cairn::nbd {

Server::Server(io::Env env, ServerOptions options, ExportSource& source)
    : env_(env),
      options_(options),
      source_(source),
      metrics_(env.metrics),
      connections_(env.metrics.gauge("cairn_nbd_connections", "Connections of NBD clients.")),
      forgotten_(env.executor),
      sweep_timer_(env.clock, [this] { sweep(); }) {
  CHECK(options.connections_max > 0);
}

Server::~Server() = default;

Result<io::Address> Server::listen(io::Address address) {
  auto listener = TRY(env_.network.listen(
      std::move(address), [this](std::unique_ptr<io::Connection> c) { accept(std::move(c)); }));
  const io::Address bound = listener->address();
  env_.logger.info("NBD server listens", {{"address", bound.text}});
  listeners_.push_back(std::move(listener));
  return bound;
}

void Server::accept(std::unique_ptr<io::Connection> connection) {
  if (is_stopping_) return;
  if (sessions_.size() >= options_.connections_max) {
    env_.logger.warn("an NBD connection is refused: too many are open",
                     {{"peer", connection->peer().text}, {"limit", options_.connections_max}});
    return;
  }
  const uint64_t id = next_session_id_++;
  auto session = std::make_unique<Session>(env_, source_, options_.session, metrics_,
                                           std::move(connection), [this, id] { forget(id); });
  Session& started = *session;
  const Instant until = env_.clock.now() + options_.handshake_timeout;
  sessions_.emplace(id, Entry{std::move(session), until});
  connections_.set(static_cast<int64_t>(sessions_.size()));
  if (!sweep_timer_.armed()) sweep_timer_.arm(until);
  started.start();
}

void Server::forget(uint64_t session_id) {
  CHECK(sessions_.erase(session_id) == 1, "a session ends once");
  connections_.set(static_cast<int64_t>(sessions_.size()));
  forgotten_.notify_all();
}

void Server::sweep() {
  const Instant now = env_.clock.now();
  std::optional<Instant> next;
  for (auto& [id, entry] : sessions_) {
    if (!entry.session->is_negotiating()) continue;
    if (entry.handshake_until <= now) {
      entry.session->give_up_handshake();
    } else if (!next || entry.handshake_until < *next) {
      next = entry.handshake_until;
    }
  }
  if (next) sweep_timer_.arm(*next);
}

io::Task<void> Server::stop() {
  is_stopping_ = true;
  sweep_timer_.disarm();
  listeners_.clear();
  for (auto& [id, entry] : sessions_) entry.session->stop();
  while (!sessions_.empty()) co_await forgotten_.wait_next();
}

}  // namespace cairn::nbd
