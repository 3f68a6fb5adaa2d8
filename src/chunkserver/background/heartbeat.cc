#include "chunkserver/background/heartbeat.h"

#include "wire/methods.h"

namespace cairn::chunkserver {

template <class Reply, class Request>
io::Task<Result<Reply>> MdsLink::call(wire::Method method, Request request, Duration timeout) {
  Error last(Errc::kUnavailable, "no MDS address is configured");
  for (size_t tries = 0; tries < addresses_.size(); ++tries) {
    const io::Address address = addresses_[current_];
    auto answer = co_await client_.call<Reply>(address, method, request, {}, timeout);
    if (answer) co_return std::move(answer->message);
    last = answer.error().within("MDS at " + address.text);
    const bool elsewhere = answer.code() == Errc::kUnavailable || answer.code() == Errc::kTimeout ||
                           answer.code() == Errc::kNotLeader || answer.code() == Errc::kClosed;
    if (!elsewhere) break;
    current_ = (current_ + 1) % addresses_.size();
  }
  co_return last;
}

io::Task<Result<wire::RegisterChunkserverReply>> MdsLink::register_chunkserver(
    wire::RegisterChunkserverRequest request, Duration timeout) {
  return call<wire::RegisterChunkserverReply>(wire::Method::kRegisterChunkserver,
                                              std::move(request), timeout);
}

io::Task<Result<wire::HeartbeatReply>> MdsLink::heartbeat(wire::HeartbeatRequest request,
                                                          Duration timeout) {
  return call<wire::HeartbeatReply>(wire::Method::kHeartbeat, std::move(request), timeout);
}

Heartbeat::Heartbeat(io::Env env, MdsLink& mds, HeartbeatSubject& subject, Duration interval)
    : env_(env),
      mds_(mds),
      subject_(subject),
      interval_(interval),
      gate_(env.executor),
      wake_(env.executor),
      timer_(env.clock, [this] { wake_.set(); }) {}

void Heartbeat::start() {
  env_.executor.spawn(run());
}

void Heartbeat::hurry() {
  if (std::exchange(is_hurried_, true)) return;
  if (timer_.armed()) timer_.arm_after(settle_delay());  // else one is under way
}

io::Task<void> Heartbeat::wait() {
  timer_.arm_after(is_hurried_ ? settle_delay() : interval_);
  co_await wake_.wait();
  wake_.reset();
  is_hurried_ = false;
}

io::Task<void> Heartbeat::run() {
  auto inside = gate_.enter();
  while (inside && !gate_.is_closed()) {
    wire::HeartbeatRequest request = co_await subject_.report();
    auto reply = co_await mds_.heartbeat(request, interval_ * 3);
    if (gate_.is_closed()) break;
    if (reply) {
      subject_.acknowledge(request);
      co_await subject_.obey(std::move(*reply));
    } else if (is_reached_) {
      env_.logger.warn("the MDS was not reached; this disk goes on serving",
                       {{"why", reply.error().message()}});
    }
    if (reply.code() == Errc::kAlreadyExists) co_await subject_.on_displaced(reply.error());
    if (reply && !is_reached_) env_.logger.info("the MDS is reached again");
    is_reached_ = reply.ok();
    if (gate_.is_closed()) break;
    co_await wait();
  }
}

io::Task<void> Heartbeat::stop() {
  timer_.disarm();
  wake_.set();
  co_await gate_.close();
}

}  // namespace cairn::chunkserver
