/// RpcService: the operations as the RPC server calls them.
#pragma once

#include "mds/context.h"
#include "rpc/services.h"

namespace cairn::mds {

/// Lifetime: the context outlives it, it outlives the server.
class RpcService {
 public:
  explicit RpcService(Context& context) : mds_(context) {}

  void add_to(rpc::Services& server);

 private:
  template <class Reply>
  using Answer = io::Task<Result<rpc::Answer<Reply>>>;

  Answer<wire::PingReply> ping(rpc::Call<wire::PingRequest> call);
  Answer<wire::RegisterChunkserverReply> register_chunkserver(
      rpc::Call<wire::RegisterChunkserverRequest> call);
  Answer<wire::HeartbeatReply> heartbeat(rpc::Call<wire::HeartbeatRequest> call);
  Answer<wire::CreateVolumeReply> create_volume(rpc::Call<wire::CreateVolumeRequest> call);
  Answer<wire::ListVolumesReply> list_volumes(rpc::Call<wire::ListVolumesRequest> call);
  Answer<wire::StatVolumeReply> stat_volume(rpc::Call<wire::StatVolumeRequest> call);
  Answer<wire::DeleteVolumeReply> delete_volume(rpc::Call<wire::DeleteVolumeRequest> call);
  Answer<wire::GetSegmentReply> get_segment(rpc::Call<wire::GetSegmentRequest> call);
  Answer<wire::GetCopysetsReply> get_copysets(rpc::Call<wire::GetCopysetsRequest> call);
  Answer<wire::OpenSessionReply> open_session(rpc::Call<wire::OpenSessionRequest> call);
  Answer<wire::RenewSessionReply> renew_session(rpc::Call<wire::RenewSessionRequest> call);
  Answer<wire::CloseSessionReply> close_session(rpc::Call<wire::CloseSessionRequest> call);
  Answer<wire::ClusterStatusReply> cluster_status(rpc::Call<wire::ClusterStatusRequest> call);
  Answer<wire::ListOperatorsReply> list_operators(rpc::Call<wire::ListOperatorsRequest> call);
  Answer<wire::ShowCopysetReply> show_copyset(rpc::Call<wire::ShowCopysetRequest> call);
  Answer<wire::CancelOperatorReply> cancel_operator(rpc::Call<wire::CancelOperatorRequest> call);
  Answer<wire::BalanceLeadersReply> balance_leaders(rpc::Call<wire::BalanceLeadersRequest> call);
  Answer<wire::ShowTopologyReply> show_topology(rpc::Call<wire::ShowTopologyRequest> call);
  Answer<wire::PutPoolReply> put_pool(rpc::Call<wire::PutPoolRequest> call);
  Answer<wire::RemovePoolReply> remove_pool(rpc::Call<wire::RemovePoolRequest> call);
  Answer<wire::PutZoneReply> put_zone(rpc::Call<wire::PutZoneRequest> call);
  Answer<wire::RemoveZoneReply> remove_zone(rpc::Call<wire::RemoveZoneRequest> call);
  Answer<wire::PutServerReply> put_server(rpc::Call<wire::PutServerRequest> call);
  Answer<wire::RemoveServerReply> remove_server(rpc::Call<wire::RemoveServerRequest> call);
  Answer<wire::SetChunkserversReply> set_chunkservers(rpc::Call<wire::SetChunkserversRequest> call);
  Answer<wire::RemoveChunkserverReply> remove_chunkserver(
      rpc::Call<wire::RemoveChunkserverRequest> call);

  Context& mds_;
};

}  // namespace cairn::mds
