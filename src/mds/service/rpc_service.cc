#include "mds/service/rpc_service.h"

#include "mds/ops/ops.h"
#include "wire/methods.h"

namespace cairn::mds {

namespace {

template <class Operation>
struct OperationTraits;

/// One that may write, and so waits.
template <class RequestType, class ReplyType>
struct OperationTraits<io::Task<Result<ReplyType>> (*)(Context&, RequestType)> {
  using Request = RequestType;
  using Reply = ReplyType;
  static constexpr bool kWaits = true;
};

/// One that looks at the state alone.
template <class RequestType, class ReplyType>
struct OperationTraits<Result<ReplyType> (*)(Context&, const RequestType&)> {
  using Request = RequestType;
  using Reply = ReplyType;
  static constexpr bool kWaits = false;
};

template <class Reply>
Result<rpc::Answer<Reply>> answer(Result<Reply> result) {
  if (!result.ok()) return std::move(result).error();
  return rpc::Answer<Reply>{.message = std::move(result).value(), .attachment = {}};
}

}  // namespace

template <auto kOperation, class Traits>
auto RpcService::serve(rpc::Call<typename Traits::Request> call) -> Answer<typename Traits::Reply> {
  if constexpr (Traits::kWaits) {
    co_return answer(co_await kOperation(mds_, std::move(call.request)));
  } else {
    co_return answer(kOperation(mds_, call.request));
  }
}

template <auto kOperation>
void RpcService::add(rpc::Services& server, wire::Method method) {
  server.add(method, *this, &RpcService::serve<kOperation, OperationTraits<decltype(kOperation)>>);
}

void RpcService::add_to(rpc::Services& server) {
  using wire::Method;
  server.add(Method::kPing, *this, &RpcService::ping);
  add<ops::register_chunkserver>(server, Method::kRegisterChunkserver);
  add<ops::heartbeat>(server, Method::kHeartbeat);
  add<ops::create_volume>(server, Method::kCreateVolume);
  add<ops::list_volumes>(server, Method::kListVolumes);
  add<ops::stat_volume>(server, Method::kStatVolume);
  add<ops::extend_volume>(server, Method::kExtendVolume);
  add<ops::rename_volume>(server, Method::kRenameVolume);
  add<ops::delete_volume>(server, Method::kDeleteVolume);
  add<ops::restore_volume>(server, Method::kRestoreVolume);
  add<ops::purge_volume>(server, Method::kPurgeVolume);
  add<ops::get_segment>(server, Method::kGetSegment);
  add<ops::get_copysets>(server, Method::kGetCopysets);
  add<ops::open_session>(server, Method::kOpenSession);
  add<ops::renew_session>(server, Method::kRenewSession);
  add<ops::close_session>(server, Method::kCloseSession);
  add<ops::list_sessions>(server, Method::kListSessions);
  add<ops::cluster_status>(server, Method::kClusterStatus);
  add<ops::list_operators>(server, Method::kListOperators);
  add<ops::cancel_operator>(server, Method::kCancelOperator);
  add<ops::show_copyset>(server, Method::kShowCopyset);
  add<ops::balance_leaders>(server, Method::kBalanceLeaders);
  add<ops::show_topology>(server, Method::kShowTopology);
  add<ops::put_pool>(server, Method::kPutPool);
  add<ops::remove_pool>(server, Method::kRemovePool);
  add<ops::put_zone>(server, Method::kPutZone);
  add<ops::remove_zone>(server, Method::kRemoveZone);
  add<ops::put_server>(server, Method::kPutServer);
  add<ops::remove_server>(server, Method::kRemoveServer);
  add<ops::set_chunkservers>(server, Method::kSetChunkservers);
  add<ops::remove_chunkserver>(server, Method::kRemoveChunkserver);
}

auto RpcService::ping(rpc::Call<wire::PingRequest>) -> Answer<wire::PingReply> {
  wire::PingReply reply;
  reply.set_role("mds");
  co_return answer<wire::PingReply>(std::move(reply));
}

}  // namespace cairn::mds
