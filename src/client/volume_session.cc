#include "client/volume_session.h"

#include "client/session_wire.h"
#include "client/shared.h"

namespace cairn::client {

VolumeSession::VolumeSession(Shared& shared, SessionTraits traits)
    : shared_(shared),
      env_(shared.env),
      traits_(std::move(traits)),
      volume_bytes_(traits_.volume_bytes),
      timer_(env_.clock,
             [this] {
               if (!gate_.is_closed()) env_.executor.spawn(renew());
             }),
      gate_(env_.executor),
      losses_(env_.metrics.counter("cairn_client_sessions_lost_total",
                                   "Sessions of volumes that another client has ended.")) {
  CHECK(traits_.lease > Duration::zero() && !traits_.id.is_none());
  renew_later();
}

VolumeSession::~VolumeSession() = default;

void VolumeSession::renew_later() {
  timer_.arm_after(traits_.lease / 3);
}

void VolumeSession::lose(const Error& why) {
  if (loss_) return;
  losses_.add();
  timer_.disarm();
  loss_ = error(Errc::kStaleFence, "the session of volume " + traits_.volume_name + " is lost: " +
                                       why.message() + "; close the volume and open it again");
  env_.logger.warn("a session is lost", {{"volume", traits_.volume_name}, {"why", why.describe()}});
  if (callback_) std::exchange(callback_, {})(*loss_);
}

void VolumeSession::on_loss(std::function<void(const Error&)> callback) {
  if (loss_) return callback(*loss_);
  callback_ = std::move(callback);
}

io::Task<void> VolumeSession::renew() {
  auto running = gate_.enter();
  if (!running.ok()) co_return;
  wire::RenewSessionRequest request;
  request.set_volume(traits_.volume.value());
  request.set_session(traits_.id.value());
  request.set_fence(traits_.fence.value());
  request.set_mode(to_wire(traits_.mode));
  request.set_client(shared_.options.client_name);
  const auto reply = co_await shared_.mds.call<wire::RenewSessionReply>(
      wire::Method::kRenewSession, std::move(request), env_.clock.now() + traits_.lease / 3);
  if (loss_ || gate_.is_closed()) co_return;
  if (!reply.ok() && reply.code() == Errc::kStaleFence) {
    lose(reply.error());
    co_return;
  }
  if (reply.ok()) note_size(reply->size_bytes());
  if (!reply.ok()) {
    env_.logger.warn("a session was not renewed; it is tried again",
                     {{"volume", traits_.volume_name}, {"error", reply.error().describe()}});
  }
  renew_later();
}

io::Task<void> VolumeSession::close() {
  timer_.disarm();
  callback_ = {};
  const bool is_first = !gate_.is_closed();
  co_await gate_.close();
  if (!is_first || loss_) co_return;
  wire::CloseSessionRequest request;
  request.set_volume(traits_.volume.value());
  request.set_session(traits_.id.value());
  const auto closed = co_await shared_.mds.call<wire::CloseSessionReply>(
      wire::Method::kCloseSession, std::move(request),
      env_.clock.now() + shared_.mds.round_timeout());
  if (closed.ok()) co_return;
  env_.logger.warn("a session was not closed; its lease runs out",
                   {{"volume", traits_.volume_name}, {"error", closed.error().describe()}});
}

}  // namespace cairn::client
