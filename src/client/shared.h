/// Shared: what a Cluster and its Volumes have in common. Included by .cc files alone.
#pragma once

#include "client/chunk_caller.h"
#include "client/copyset_routes.h"
#include "client/mds_caller.h"
#include "client/options.h"
#include "io/sync.h"
#include "rpc/client.h"

namespace cairn::client {

struct Shared {
  Shared(io::Env with, ClientOptions chosen)
      : env(with),
        options(std::move(chosen)),
        rpc(env, rpc::ClientOptions{}, options.key),
        mds(env, rpc, options),
        routes(env, mds),
        chunks(env, rpc, routes, options) {}

  io::Env env;
  const ClientOptions options;
  rpc::Client rpc;
  MdsCaller mds;
  CopysetRoutes routes;
  ChunkCaller chunks;
  io::Gate gate{env.executor};  ///< calls of the Cluster
  size_t open_volumes_count = 0;
};

}  // namespace cairn::client
