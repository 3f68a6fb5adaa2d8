#include "mds/mds.h"

#include "mds/background/jobs.h"
#include "mds/service/rpc_service.h"
#include "rpc/client.h"

namespace cairn::mds {

/// In the order of their dependence: what is made first is destroyed last.
struct Mds::Parts {
  Parts(io::Env env, kv::MetaStore& store, Options options)
      : client(env, rpc::ClientOptions(), options.cluster_key),
        context(env, store, client, options),
        service(context),
        server(env, rpc::ServerOptions(), options.cluster_key) {}

  rpc::Client client;
  Context context;
  RpcService service;
  rpc::Server server;
  io::Address address;
};

Mds::Mds(io::Env env, kv::MetaStore& store, Options options)
    : parts_(std::make_unique<Parts>(std::move(env), store, std::move(options))) {}

Mds::~Mds() = default;

io::Task<Status> Mds::start() {
  Context& context = parts_->context;
  CO_TRY(check(context.options));
  CO_TRY(co_await context.load());
  context.started_at = context.env.clock.now();
  parts_->service.add_to(parts_->server);
  parts_->address = CO_TRY(parts_->server.listen(context.options.listen));
  context.env.executor.spawn(run_plan_copysets(context));
  context.env.executor.spawn(run_delete_chunks(context));
  context.env.executor.spawn(run_watch_liveness(context));
  context.env.executor.spawn(run_schedule(context));
  context.env.logger.info("serving", {{"address", parts_->address.text},
                                      {"cluster", context.state.cluster.name()},
                                      {"chunkservers", context.state.chunkservers.size()},
                                      {"volumes", context.state.volumes_alive_count()}});
  co_return ok();
}

io::Task<void> Mds::stop() {
  parts_->context.stop_jobs();
  co_await parts_->server.stop();
  co_await parts_->client.stop();
  co_await parts_->context.jobs.close();
}

Status Mds::health() const {
  if (parts_->address.text.empty()) return error(Errc::kUnavailable, "this MDS is starting");
  if (parts_->context.jobs.is_closed()) return error(Errc::kUnavailable, "this MDS is stopping");
  return ok();
}

io::Address Mds::address() const {
  CHECK(!parts_->address.text.empty(), "the server was not started");
  return parts_->address;
}

}  // namespace cairn::mds
