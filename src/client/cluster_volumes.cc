/// Cluster's volumes as a whole: each call is one act, however often its answer is lost.
#include "client/cluster.h"
#include "client/shared.h"
#include "wire/mds.pb.h"
#include "wire/session.pb.h"

namespace cairn::client {

io::Task<Result<wire::VolumeInfo>> Cluster::create_volume(std::string name, uint64_t size_bytes,
                                                          VolumeOptions with) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::CreateVolumeRequest request;
  request.set_name(name);
  request.set_size_bytes(size_bytes);
  request.set_pool(std::move(with.pool));
  request.set_owner(std::move(with.owner));
  request.set_stripe_unit_bytes(with.stripe_unit_bytes);
  request.set_stripe_count(with.stripe_count);
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

io::Task<Result<wire::StatVolumeReply>> Cluster::measure_volume(std::string name) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::StatVolumeRequest request;
  request.set_name(std::move(name));
  request.set_with_used(true);
  co_return co_await shared_->mds.call<wire::StatVolumeReply>(wire::Method::kStatVolume,
                                                              std::move(request), deadline());
}

io::Task<Result<wire::ListVolumesReply>> Cluster::list_volumes(wire::ListVolumesRequest request) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  co_return co_await shared_->mds.call<wire::ListVolumesReply>(wire::Method::kListVolumes,
                                                               std::move(request), deadline());
}

io::Task<Result<std::vector<wire::VolumeInfo>>> Cluster::list_volumes() {
  const auto reply = CO_TRY(co_await list_volumes(wire::ListVolumesRequest()));
  std::vector<wire::VolumeInfo> volumes(reply.volumes().begin(), reply.volumes().end());
  co_return std::move(volumes);
}

io::Task<Result<wire::VolumeInfo>> Cluster::extend_volume(std::string name, uint64_t size_bytes) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::ExtendVolumeRequest request;
  request.set_name(std::move(name));
  request.set_size_bytes(size_bytes);
  auto reply = CO_TRY(co_await shared_->mds.call<wire::ExtendVolumeReply>(
      wire::Method::kExtendVolume, std::move(request), deadline()));
  co_return std::move(*reply.mutable_volume());
}

io::Task<Result<wire::VolumeInfo>> Cluster::rename_volume(std::string name, std::string new_name) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::RenameVolumeRequest request;
  request.set_name(std::move(name));
  request.set_new_name(new_name);
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::RenameVolumeReply>(
      wire::Method::kRenameVolume, std::move(request), deadline(), &is_repeated);
  if (reply.ok()) co_return std::move(*reply->mutable_volume());
  if (!is_repeated || reply.code() != Errc::kNotFound) co_return reply.error();
  // It has the new name by an earlier try of ours, or there is none of either name.
  auto renamed = co_await stat_volume(std::move(new_name));
  if (renamed.ok()) co_return std::move(renamed);
  co_return reply.error();
}

io::Task<Result<wire::VolumeInfo>> Cluster::delete_volume(wire::DeleteVolumeRequest request) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::VolumeInfo named;
  named.set_name(request.name());
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::DeleteVolumeReply>(
      wire::Method::kDeleteVolume, std::move(request), deadline(), &is_repeated);
  if (reply.ok()) co_return std::move(*reply->mutable_volume());
  const bool is_our_doing = is_repeated && reply.code() == Errc::kNotFound;
  if (is_our_doing) co_return std::move(named);
  co_return reply.error();
}

io::Task<Status> Cluster::delete_volume(std::string name) {
  wire::DeleteVolumeRequest request;
  request.set_name(std::move(name));
  CO_TRY(co_await delete_volume(std::move(request)));
  co_return ok();
}

io::Task<Result<wire::VolumeInfo>> Cluster::restore_volume(wire::RestoreVolumeRequest request) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  std::string name = request.new_name().empty() ? request.name() : request.new_name();
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::RestoreVolumeReply>(
      wire::Method::kRestoreVolume, std::move(request), deadline(), &is_repeated);
  if (reply.ok()) co_return std::move(*reply->mutable_volume());
  if (!is_repeated || reply.code() != Errc::kNotFound || name.empty()) co_return reply.error();
  // An earlier try of ours may have restored it, its answer lost.
  auto restored = co_await stat_volume(std::move(name));
  if (restored.ok()) co_return std::move(restored);
  co_return reply.error();
}

io::Task<Result<wire::VolumeInfo>> Cluster::purge_volume(wire::PurgeVolumeRequest request) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::VolumeInfo named;
  named.set_name(request.name());
  named.set_id(request.id());
  bool is_repeated = false;
  auto reply = co_await shared_->mds.call<wire::PurgeVolumeReply>(
      wire::Method::kPurgeVolume, std::move(request), deadline(), &is_repeated);
  if (reply.ok()) co_return std::move(*reply->mutable_volume());
  if (is_repeated && reply.code() == Errc::kNotFound) co_return std::move(named);
  co_return reply.error();
}

io::Task<Result<wire::ListSessionsReply>> Cluster::list_sessions(std::string volume) {
  auto running = shared_->gate.enter();
  if (!running.ok()) co_return running.error();
  wire::ListSessionsRequest request;
  request.set_volume(std::move(volume));
  co_return co_await shared_->mds.call<wire::ListSessionsReply>(wire::Method::kListSessions,
                                                                std::move(request), deadline());
}

}  // namespace cairn::client
