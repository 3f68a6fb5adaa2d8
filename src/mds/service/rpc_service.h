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
  /// The handler of an operation, which is a function of ops.h.
  template <auto kOperation, class Traits>
  Answer<typename Traits::Reply> serve(rpc::Call<typename Traits::Request> call);
  template <auto kOperation>
  void add(rpc::Services& server, wire::Method method);

  Context& mds_;
};

}  // namespace cairn::mds
