#include "rpc/server.h"

#include <google/protobuf/message_lite.h>

#include <algorithm>

#include "rpc/services.h"
#include "rpc/session.h"

namespace cairn::rpc {

Responder::Responder(Session& session, const FramePrefix& request, io::Gate::Holder running,
                     ReceiveBudget::Hold hold)
    : session_(&session),
      call_id_(request.call_id),
      method_(request.method),
      running_(std::move(running)),
      hold_(std::move(hold)) {
  ++session.calls_count_;
  session.server_.metrics_.inflight_calls.add(1);
}

Responder::Responder(Responder&& other) noexcept
    : session_(std::exchange(other.session_, nullptr)),
      call_id_(other.call_id_),
      method_(other.method_),
      running_(std::move(other.running_)),
      hold_(std::move(other.hold_)) {}

Responder::~Responder() {
  if (!session_) return;
  session_->server_.metrics_.inflight_calls.add(-1);
  session_->call_ended();
}

void Responder::answer(const google::protobuf::MessageLite& reply, std::vector<Buffer> attachment) {
  CHECK(call_id_ != 0, "a call is answered once");
  auto frame = encode(FrameKind::kResponse, method_, reply, std::move(attachment),
                      session_->server_.options_.limits);
  if (!frame) {
    return fail(error(Errc::kInternal, "the answer is too large: " + frame.error().message()));
  }
  session_->send_answer(std::move(frame).value(), std::exchange(call_id_, 0));
}

void Responder::fail(const Error& error) {
  CHECK(call_id_ != 0, "a call is answered once");
  session_->server_.metrics_.errors.add();
  session_->send_answer(encode_error(method_, error), std::exchange(call_id_, 0));
}

Server::Metrics::Metrics(Registry& registry)
    : calls(registry.counter("cairn_rpc_server_calls_total", "calls and one-way messages taken")),
      errors(registry.counter("cairn_rpc_server_errors_total", "calls answered with an error")),
      expired(registry.counter("cairn_rpc_server_expired_total",
                               "calls whose deadline had passed when they were taken up")),
      overloaded(registry.counter("cairn_rpc_server_overloaded_total",
                                  "calls refused because of a limit")),
      received_bytes(registry.counter("cairn_rpc_server_received_bytes_total", "bytes received")),
      sent_bytes(registry.counter("cairn_rpc_server_sent_bytes_total", "bytes queued to be sent")),
      unauthenticated(registry.counter("cairn_rpc_server_unauthenticated_total",
                                       "connections refused because the cluster keys differ")),
      broken_connections(registry.counter("cairn_rpc_server_refused_connections_total",
                                          "connections closed because of what the peer sent")),
      inflight_calls(registry.gauge("cairn_rpc_server_inflight_calls", "calls under way")),
      connections(registry.gauge("cairn_rpc_server_connections", "open connections")) {}

Server::Server(io::Env env, ServerOptions options, ClusterKey key)
    : env_(env),
      options_(options),
      key_(std::move(key)),
      metrics_(env.metrics),
      budget_(options.inflight_bytes_max),
      gate_(env.executor),
      drained_(env.executor),
      sweep_timer_(env.clock, [this] { sweep(); }) {
  env_.logger = env.logger.named("rpc");
  CHECK(!key_.secret.empty(), "a server needs the cluster key");
  CHECK(options_.inflight_calls_max > 0 && options_.connections_unproven_max > 0);
  CHECK(options_.inflight_bytes_max >= options_.limits.attachment_bytes_max,
        "an attachment of the allowed size could never be taken");
}

Server::~Server() = default;

void Server::add_handler(wire::Method method, std::unique_ptr<Handler> handler) {
  CHECK(handlers_.emplace(method, std::move(handler)).second, "a method has one handler");
}

void Server::add_handler(wire::Method method, std::unique_ptr<OneWayHandler> handler) {
  CHECK(one_way_handlers_.emplace(method, std::move(handler)).second, "a method has one handler");
}

void Server::attach(Services& services) {
  CHECK(!attached_, "one set of services at a time is attached");
  for (const auto& [method, handler] : handlers_) CHECK(!services.find(method));
  attached_ = &services;
}

void Server::detach(Services& services) {
  CHECK(attached_ == &services);
  attached_ = nullptr;
}

Handler* Server::find_handler(wire::Method method) const {
  const auto own = handlers_.find(method);
  if (own != handlers_.end()) return own->second.get();
  return attached_ ? attached_->find(method) : nullptr;
}

Error Server::absent_error(wire::Method method) const {
  if (absent_) return absent_(method);
  return error(Errc::kUnsupported, "this server has no method " +
                                       std::to_string(static_cast<uint16_t>(method)) +
                                       " that is answered; nothing was done");
}

Result<io::Address> Server::listen(io::Address address) {
  CHECK(!gate_.is_closed(), "a server that stops does not listen again");
  auto listener = TRY(env_.network.listen(
      address, [this](std::unique_ptr<io::Connection> c) { accept(std::move(c)); }));
  listeners_.push_back(std::move(listener));
  const io::Address& bound = listeners_.back()->address();
  env_.logger.info("listening", {{"address", bound.text}});
  return bound;
}

void Server::accept(std::unique_ptr<io::Connection> connection) {
  const uint64_t id = next_session_id_++;
  const bool crowded = sessions_.size() >= options_.connections_max;
  const bool unproven_crowded = unproven_count_ >= options_.connections_unproven_max;
  if (crowded || unproven_crowded) {
    // Closed without a word: saying why would need the state that there is no room for.
    metrics_.overloaded.add();
    env_.logger.warn("connection refused: too many", {{"peer", connection->peer().text},
                                                      {"connections", sessions_.size()},
                                                      {"unproven", unproven_count_}});
    return;
  }
  auto session = std::make_unique<Session>(*this, id, std::move(connection));
  Session& started = *session;
  sessions_.emplace(id, std::move(session));
  started.start();
}

void Server::forget(uint64_t session_id) {
  CHECK(sessions_.erase(session_id) == 1);
}

void Server::arm_sweep() {
  if (!sweep_timer_.armed()) sweep_timer_.arm_after(options_.sweep_interval);
}

void Server::sweep() {
  const Instant now = env_.clock.now();
  bool again = false;
  for (auto next = sessions_.begin(); next != sessions_.end();) {
    Session& session = *(next++)->second;
    if (!session.needs_sweep()) continue;
    session.sweep(now);  // may destroy it
    again = true;
  }
  if (stopping_ && gate_.holders_count() == 0) {
    if (has_unsent() && now < drain_until_) {
      again = true;
    } else {
      drained_.set();
    }
  }
  if (again) arm_sweep();
}

bool Server::has_unsent() const {
  return std::ranges::any_of(sessions_, [](const auto& s) { return s.second->has_unsent(); });
}

io::Task<void> Server::stop() {
  listeners_.clear();
  co_await gate_.close();
  // The last answers stand in the send queues until the end of this turn at least.
  stopping_ = true;
  drain_until_ = env_.clock.now() + options_.drain_timeout;
  arm_sweep();
  co_await drained_.wait();
  sweep_timer_.disarm();
  sessions_.clear();
}

}  // namespace cairn::rpc
