#include "rpc/client.h"

#include <algorithm>

#include "rpc/channel.h"

namespace cairn::rpc {

namespace {
constexpr Duration kTimeoutMax = std::chrono::hours(24);  // no sum of times overflows
}

PendingCall::PendingCall(PreparedCall prepared, google::protobuf::MessageLite& reply)
    : channel_(prepared.channel),
      frame_(std::move(prepared.frame)),
      deadline_(prepared.deadline),
      reply_(reply),
      failure_(std::move(prepared.failure)) {}

PendingCall::~PendingCall() {
  if (channel_) channel_->leave(*this);
}

bool PendingCall::await_suspend(std::coroutine_handle<> caller) {
  waiter_ = caller;
  return channel_->begin(*this);
}

Client::Metrics::Metrics(Registry& registry)
    : calls(registry.counter("cairn_rpc_client_calls_total", "calls and one-way messages begun")),
      errors(registry.counter("cairn_rpc_client_errors_total", "calls that failed")),
      timeouts(registry.counter("cairn_rpc_client_timeouts_total", "calls not answered in time")),
      overloaded(registry.counter("cairn_rpc_client_overloaded_total",
                                  "calls not sent because of a limit of this side")),
      late_answers(registry.counter("cairn_rpc_client_late_answers_total",
                                    "answers whose caller had given up")),
      received_bytes(registry.counter("cairn_rpc_client_received_bytes_total", "bytes received")),
      sent_bytes(registry.counter("cairn_rpc_client_sent_bytes_total", "bytes queued to be sent")),
      connects(registry.counter("cairn_rpc_client_connects_total", "attempts to connect")),
      connect_failures(
          registry.counter("cairn_rpc_client_connect_failures_total", "attempts that failed")),
      inflight_calls(registry.gauge("cairn_rpc_client_inflight_calls",
                                    "calls that wait for a connection or for their answer")) {}

Client::Client(io::Env env, ClientOptions options, ClusterKey key)
    : env_(env),
      options_(options),
      key_(std::move(key)),
      metrics_(env.metrics),
      rng_(env.rng.fork()),
      gate_(env.executor),
      sweep_timer_(env.clock, [this] { sweep(); }) {
  env_.logger = env.logger.named("rpc");
  CHECK(!key_.secret.empty(), "a client needs the cluster key");
  CHECK(options_.backoff_min > 0ns && options_.backoff_max >= options_.backoff_min);
  CHECK(options_.pending_calls_max > 0 && options_.pending_calls_max <= UINT32_MAX);
}

Client::~Client() = default;

Result<Channel*> Client::channel_to(const io::Address& to) {
  auto found = channels_.find(to.text);
  if (found == channels_.end()) {
    if (channels_.size() >= options_.addresses_max) {
      return error(Errc::kOverloaded, "this client talks to " + std::to_string(channels_.size()) +
                                          " addresses already; nothing was sent");
    }
    found = channels_.emplace(to.text, std::make_unique<Channel>(*this, to)).first;
  }
  return found->second.get();
}

PreparedCall Client::prepare(const io::Address& to, wire::Method method,
                             const google::protobuf::MessageLite& request,
                             std::vector<Buffer> attachment, Duration timeout) {
  metrics_.calls.add();
  PreparedCall prepared;
  auto channel = channel_to(to);
  auto frame = encode(FrameKind::kRequest, method, request, std::move(attachment), options_.limits);
  if (!channel || !frame) {
    metrics_.errors.add();
    prepared.failure = channel ? frame.error() : channel.error();
    return prepared;
  }
  prepared.channel = *channel;
  prepared.frame = std::move(frame).value();
  prepared.deadline = env_.clock.now() + std::min(timeout, kTimeoutMax);
  return prepared;
}

Status Client::queue_one_way(const io::Address& to, wire::Method method,
                             const google::protobuf::MessageLite& request,
                             std::vector<Buffer> attachment) {
  metrics_.calls.add();
  if (gate_.is_closed()) return error(Errc::kClosed, "the client is stopping; nothing was sent");
  Channel* channel = TRY(channel_to(to));
  return channel->send_one_way(
      TRY(encode(FrameKind::kOneWay, method, request, std::move(attachment), options_.limits)));
}

void Client::bury(std::unique_ptr<io::Connection> connection) {
  graveyard_.connections.push_back(std::move(connection));
  env_.executor.at_turn_end(graveyard_);
}

void Client::arm_sweep() {
  if (!sweep_timer_.armed()) sweep_timer_.arm_after(options_.sweep_interval);
}

void Client::sweep() {
  const Instant now = env_.clock.now();
  bool again = false;
  for (auto& [address, channel] : channels_) again |= channel->sweep(now);
  if (again) arm_sweep();
}

io::Task<void> Client::stop() {
  for (auto& [address, channel] : channels_) channel->close();
  sweep_timer_.disarm();
  co_await gate_.close();
}

}  // namespace cairn::rpc
