#include "client/cluster.h"

#include "client/shared.h"
#include "client/volume.h"
#include "wire/mds.pb.h"

namespace cairn::client {

Cluster::Cluster(io::Env env, ClientOptions options)
    : env_(env), shared_(std::make_unique<Shared>(env, std::move(options))) {}

Cluster::~Cluster() {
  CHECK(shared_->open_volumes_count == 0, "a volume outlives its cluster object");
}

Instant Cluster::deadline() const {
  return env_.clock.now() + shared_->options.op_deadline;
}

io::Task<Result<wire::VolumeInfo>> Cluster::create_volume(std::string name, uint64_t size_bytes,
                                                          std::string pool) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::CreateVolumeRequest request;
  request.set_name(name);
  request.set_size_bytes(size_bytes);
  request.set_pool(std::move(pool));
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::CreateVolumeReply>(
      wire::Method::kCreateVolume, std::move(request), deadline(), &is_repeated);
  if (reply.ok()) co_return std::move(*reply->mutable_volume());
  if (!is_repeated || reply.code() != Errc::kAlreadyExists) co_return reply.error();
  // An earlier try of ours may have made it, its answer lost.
  auto made = co_await stat_volume(std::move(name));
  if (made.ok() && made->size_bytes() == size_bytes && made->allocated_bytes() == 0) {
    co_return std::move(made);
  }
  co_return reply.error();
}

io::Task<Result<wire::VolumeInfo>> Cluster::stat_volume(std::string name) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::StatVolumeRequest request;
  request.set_name(std::move(name));
  auto reply = CO_TRY(co_await shared_->mds.call<wire::StatVolumeReply>(
      wire::Method::kStatVolume, std::move(request), deadline()));
  co_return std::move(*reply.mutable_volume());
}

io::Task<Result<std::vector<wire::VolumeInfo>>> Cluster::list_volumes() {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  auto reply = CO_TRY(co_await shared_->mds.call<wire::ListVolumesReply>(
      wire::Method::kListVolumes, wire::ListVolumesRequest(), deadline()));
  std::vector<wire::VolumeInfo> volumes(reply.volumes().begin(), reply.volumes().end());
  co_return std::move(volumes);
}

io::Task<Status> Cluster::delete_volume(std::string name) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::DeleteVolumeRequest request;
  request.set_name(std::move(name));
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::DeleteVolumeReply>(
      wire::Method::kDeleteVolume, std::move(request), deadline(), &is_repeated);
  const bool is_our_doing = is_repeated && reply.code() == Errc::kNotFound;
  if (!reply.ok() && !is_our_doing) co_return reply.error();
  co_return ok();
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

io::Task<Result<std::unique_ptr<Volume>>> Cluster::open_volume(std::string name) {
  auto info = CO_TRY(co_await stat_volume(std::move(name)));
  if (shared_->gate.is_closed()) co_return error(Errc::kClosed, "the client is stopping");
  const bool is_sound = info.chunk_bytes() > 0 && info.chunk_bytes() <= UINT32_MAX &&
                        info.chunk_bytes() % kBlockBytes == 0 && info.segment_bytes() > 0 &&
                        info.segment_bytes() % info.chunk_bytes() == 0;
  if (!is_sound) {
    co_return error(Errc::kProtocol,
                    "the MDS describes volume " + info.name() + " with segments of " +
                        std::to_string(info.segment_bytes()) + " bytes in chunks of " +
                        std::to_string(info.chunk_bytes()));
  }
  VolumeTraits traits;
  traits.id = VolumeId(info.id());
  traits.name = info.name();
  traits.fence = Fence(info.fence());
  traits.size_bytes = info.size_bytes();
  traits.layout = {info.segment_bytes(), info.chunk_bytes()};
  env_.entropy.fill({reinterpret_cast<std::byte*>(&traits.client), sizeof(traits.client)});
  traits.client |= 1;  // zero means a client without a name
  co_return std::make_unique<Volume>(*shared_, std::move(traits));
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
