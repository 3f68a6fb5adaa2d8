#include "mds/service/rpc_service.h"

#include "mds/ops/ops.h"
#include "wire/methods.h"

namespace cairn::mds {

namespace {

template <class Reply>
Result<rpc::Answer<Reply>> answer(Result<Reply> result) {
  if (!result.ok()) return std::move(result).error();
  return rpc::Answer<Reply>{.message = std::move(result).value(), .attachment = {}};
}

}  // namespace

void RpcService::add_to(rpc::Services& server) {
  using wire::Method;
  server.add(Method::kPing, *this, &RpcService::ping);
  server.add(Method::kRegisterChunkserver, *this, &RpcService::register_chunkserver);
  server.add(Method::kHeartbeat, *this, &RpcService::heartbeat);
  server.add(Method::kCreateVolume, *this, &RpcService::create_volume);
  server.add(Method::kListVolumes, *this, &RpcService::list_volumes);
  server.add(Method::kStatVolume, *this, &RpcService::stat_volume);
  server.add(Method::kDeleteVolume, *this, &RpcService::delete_volume);
  server.add(Method::kGetSegment, *this, &RpcService::get_segment);
  server.add(Method::kGetCopysets, *this, &RpcService::get_copysets);
  server.add(Method::kOpenSession, *this, &RpcService::open_session);
  server.add(Method::kRenewSession, *this, &RpcService::renew_session);
  server.add(Method::kCloseSession, *this, &RpcService::close_session);
  server.add(Method::kClusterStatus, *this, &RpcService::cluster_status);
  server.add(Method::kListOperators, *this, &RpcService::list_operators);
  server.add(Method::kCancelOperator, *this, &RpcService::cancel_operator);
  server.add(Method::kShowCopyset, *this, &RpcService::show_copyset);
  server.add(Method::kBalanceLeaders, *this, &RpcService::balance_leaders);
  server.add(Method::kShowTopology, *this, &RpcService::show_topology);
  server.add(Method::kPutPool, *this, &RpcService::put_pool);
  server.add(Method::kRemovePool, *this, &RpcService::remove_pool);
  server.add(Method::kPutZone, *this, &RpcService::put_zone);
  server.add(Method::kRemoveZone, *this, &RpcService::remove_zone);
  server.add(Method::kPutServer, *this, &RpcService::put_server);
  server.add(Method::kRemoveServer, *this, &RpcService::remove_server);
  server.add(Method::kSetChunkservers, *this, &RpcService::set_chunkservers);
  server.add(Method::kRemoveChunkserver, *this, &RpcService::remove_chunkserver);
}

auto RpcService::ping(rpc::Call<wire::PingRequest>) -> Answer<wire::PingReply> {
  wire::PingReply reply;
  reply.set_role("mds");
  co_return answer<wire::PingReply>(std::move(reply));
}

auto RpcService::register_chunkserver(rpc::Call<wire::RegisterChunkserverRequest> call)
    -> Answer<wire::RegisterChunkserverReply> {
  co_return answer(co_await ops::register_chunkserver(mds_, std::move(call.request)));
}

auto RpcService::heartbeat(rpc::Call<wire::HeartbeatRequest> call) -> Answer<wire::HeartbeatReply> {
  co_return answer(co_await ops::heartbeat(mds_, std::move(call.request)));
}

auto RpcService::create_volume(rpc::Call<wire::CreateVolumeRequest> call)
    -> Answer<wire::CreateVolumeReply> {
  co_return answer(co_await ops::create_volume(mds_, std::move(call.request)));
}

auto RpcService::list_volumes(rpc::Call<wire::ListVolumesRequest> call)
    -> Answer<wire::ListVolumesReply> {
  co_return answer(ops::list_volumes(mds_, call.request));
}

auto RpcService::stat_volume(rpc::Call<wire::StatVolumeRequest> call)
    -> Answer<wire::StatVolumeReply> {
  co_return answer(ops::stat_volume(mds_, call.request));
}

auto RpcService::delete_volume(rpc::Call<wire::DeleteVolumeRequest> call)
    -> Answer<wire::DeleteVolumeReply> {
  co_return answer(co_await ops::delete_volume(mds_, std::move(call.request)));
}

auto RpcService::get_segment(rpc::Call<wire::GetSegmentRequest> call)
    -> Answer<wire::GetSegmentReply> {
  co_return answer(co_await ops::get_segment(mds_, std::move(call.request)));
}

auto RpcService::get_copysets(rpc::Call<wire::GetCopysetsRequest> call)
    -> Answer<wire::GetCopysetsReply> {
  co_return answer(ops::get_copysets(mds_, call.request));
}

auto RpcService::open_session(rpc::Call<wire::OpenSessionRequest> call)
    -> Answer<wire::OpenSessionReply> {
  co_return answer(co_await ops::open_session(mds_, std::move(call.request)));
}

auto RpcService::renew_session(rpc::Call<wire::RenewSessionRequest> call)
    -> Answer<wire::RenewSessionReply> {
  co_return answer(co_await ops::renew_session(mds_, std::move(call.request)));
}

auto RpcService::close_session(rpc::Call<wire::CloseSessionRequest> call)
    -> Answer<wire::CloseSessionReply> {
  co_return answer(co_await ops::close_session(mds_, std::move(call.request)));
}

auto RpcService::cluster_status(rpc::Call<wire::ClusterStatusRequest> call)
    -> Answer<wire::ClusterStatusReply> {
  co_return answer(ops::cluster_status(mds_, call.request));
}

auto RpcService::list_operators(rpc::Call<wire::ListOperatorsRequest> call)
    -> Answer<wire::ListOperatorsReply> {
  co_return answer(ops::list_operators(mds_, call.request));
}

auto RpcService::show_copyset(rpc::Call<wire::ShowCopysetRequest> call)
    -> Answer<wire::ShowCopysetReply> {
  co_return answer(ops::show_copyset(mds_, call.request));
}

auto RpcService::cancel_operator(rpc::Call<wire::CancelOperatorRequest> call)
    -> Answer<wire::CancelOperatorReply> {
  co_return answer(co_await ops::cancel_operator(mds_, std::move(call.request)));
}

auto RpcService::balance_leaders(rpc::Call<wire::BalanceLeadersRequest> call)
    -> Answer<wire::BalanceLeadersReply> {
  co_return answer(co_await ops::balance_leaders(mds_, std::move(call.request)));
}

auto RpcService::show_topology(rpc::Call<wire::ShowTopologyRequest> call)
    -> Answer<wire::ShowTopologyReply> {
  co_return answer(ops::show_topology(mds_, call.request));
}

auto RpcService::put_pool(rpc::Call<wire::PutPoolRequest> call) -> Answer<wire::PutPoolReply> {
  co_return answer(co_await ops::put_pool(mds_, std::move(call.request)));
}

auto RpcService::remove_pool(rpc::Call<wire::RemovePoolRequest> call)
    -> Answer<wire::RemovePoolReply> {
  co_return answer(co_await ops::remove_pool(mds_, std::move(call.request)));
}

auto RpcService::put_zone(rpc::Call<wire::PutZoneRequest> call) -> Answer<wire::PutZoneReply> {
  co_return answer(co_await ops::put_zone(mds_, std::move(call.request)));
}

auto RpcService::remove_zone(rpc::Call<wire::RemoveZoneRequest> call)
    -> Answer<wire::RemoveZoneReply> {
  co_return answer(co_await ops::remove_zone(mds_, std::move(call.request)));
}

auto RpcService::put_server(rpc::Call<wire::PutServerRequest> call)
    -> Answer<wire::PutServerReply> {
  co_return answer(co_await ops::put_server(mds_, std::move(call.request)));
}

auto RpcService::remove_server(rpc::Call<wire::RemoveServerRequest> call)
    -> Answer<wire::RemoveServerReply> {
  co_return answer(co_await ops::remove_server(mds_, std::move(call.request)));
}

auto RpcService::set_chunkservers(rpc::Call<wire::SetChunkserversRequest> call)
    -> Answer<wire::SetChunkserversReply> {
  co_return answer(co_await ops::set_chunkservers(mds_, std::move(call.request)));
}

auto RpcService::remove_chunkserver(rpc::Call<wire::RemoveChunkserverRequest> call)
    -> Answer<wire::RemoveChunkserverReply> {
  co_return answer(co_await ops::remove_chunkserver(mds_, std::move(call.request)));
}

}  // namespace cairn::mds
