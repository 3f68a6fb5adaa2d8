#include "client/cluster.h"

#include "client/session_wire.h"
#include "client/shared.h"
#include "client/volume.h"
#include "wire/mds.pb.h"

namespace cairn::client {

namespace {

/// Between two tries to open what others have open.
constexpr Duration kOpenRetryInterval = 250ms;

/// Not zero, which means a client or session without a name.
uint64_t draw_number(io::Env& env) {
  uint64_t number = 0;
  env.entropy.fill({reinterpret_cast<std::byte*>(&number), sizeof(number)});
  return number | 1;
}

}  // namespace

Cluster::Cluster(io::Env env, ClientOptions options)
    : env_(env), shared_(std::make_unique<Shared>(env, std::move(options))) {}

Cluster::~Cluster() {
  CHECK(shared_->open_volumes_count == 0, "a volume outlives its cluster object");
}

Instant Cluster::deadline() const {
  return env_.clock.now() + shared_->options.op_deadline;
}

io::Task<Result<wire::ClusterStatusReply>> Cluster::cluster_status() {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  co_return co_await shared_->mds.call<wire::ClusterStatusReply>(
      wire::Method::kClusterStatus, wire::ClusterStatusRequest(), deadline());
}

io::Task<Result<std::vector<wire::CopysetInfo>>> Cluster::get_copysets(
    std::vector<CopysetId> copysets) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::GetCopysetsRequest request;
  for (CopysetId copyset : copysets) request.add_copysets(copyset.value());
  auto reply = CO_TRY(co_await shared_->mds.call<wire::GetCopysetsReply>(
      wire::Method::kGetCopysets, std::move(request), deadline()));
  std::vector<wire::CopysetInfo> infos(reply.copysets().begin(), reply.copysets().end());
  co_return std::move(infos);
}

io::Task<Result<wire::OpenSessionReply>> Cluster::open_session(wire::OpenSessionRequest request,
                                                               Duration wait) {
  const Instant wait_until = env_.clock.now() + wait;
  for (;;) {
    const auto seen = CO_TRY(co_await stat_volume(request.name()));
    request.set_fence_seen(seen.fence());
    auto reply = co_await shared_->mds.call<wire::OpenSessionReply>(wire::Method::kOpenSession,
                                                                    request, deadline());
    // Whoever waits for others to close it may see the fence move meanwhile; force is used once.
    const bool is_held = !reply.ok() && (reply.code() == Errc::kAlreadyExists ||
                                         (reply.code() == Errc::kStaleFence && !request.force()));
    if (!is_held) co_return reply;
    const Instant now = env_.clock.now();
    if (now >= wait_until) co_return reply;
    co_await env_.clock.sleep(std::min(kOpenRetryInterval, wait_until - now));
  }
}

io::Task<Result<std::unique_ptr<Volume>>> Cluster::open_volume(std::string name, OpenOptions how) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::OpenSessionRequest request;
  request.set_name(std::move(name));
  request.set_session(draw_number(env_));
  request.set_mode(to_wire(how.mode));
  request.set_force(how.force);
  request.set_replaces_own(how.replaces_own);
  request.set_client(shared_->options.client_name);
  SessionTraits session;
  session.id = SessionId(request.session());
  session.mode = how.mode;
  auto opened = CO_TRY(co_await open_session(std::move(request), how.wait));
  if (shared_->gate.is_closed()) co_return error(Errc::kClosed, "the client is stopping");
  const wire::VolumeInfo& info = opened.volume();
  const Layout layout{.segment_bytes = info.segment_bytes(),
                      .chunk_bytes = info.chunk_bytes(),
                      .stripe_unit_bytes = info.stripe_unit_bytes(),
                      .stripe_count = info.stripe_count()};
  if (!wire::is_sound(layout) || opened.lease_ms() == 0) {
    co_return error(Errc::kProtocol,
                    "the MDS describes volume " + info.name() + " with segments of " +
                        std::to_string(layout.segment_bytes) + " bytes in chunks of " +
                        std::to_string(layout.chunk_bytes) + ", stripes of " +
                        std::to_string(layout.stripe_unit_bytes) + " over " +
                        std::to_string(layout.stripe_count) + " chunks and a lease of " +
                        std::to_string(opened.lease_ms()) + " ms");
  }
  session.volume = VolumeId(info.id());
  session.volume_name = info.name();
  session.fence = Fence(opened.fence());
  session.volume_bytes = info.size_bytes();
  session.lease = opened.lease_ms() * Duration(1ms);
  VolumeTraits traits;
  traits.id = session.volume;
  traits.name = info.name();
  traits.fence = session.fence;
  traits.layout = layout;
  traits.client = draw_number(env_);
  co_return std::make_unique<Volume>(*shared_, std::move(traits), std::move(session));
}

io::Task<Status> Cluster::stop() {
  if (is_stopped_) co_return ok();
  is_stopped_ = true;
  shared_->mds.stop();
  shared_->chunks.stop();
  co_await shared_->rpc.stop();
  co_await shared_->gate.close();
  co_await shared_->routes.stop();
  co_return ok();
}

}  // namespace cairn::client
