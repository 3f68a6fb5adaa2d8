#include "mds/mds.h"

#include "mds/background/jobs.h"
#include "mds/service/rpc_service.h"
#include "mds/service/views.h"
#include "rpc/client.h"
#include "rpc/services.h"

namespace cairn::mds {

/// In the order of their dependence: what is made first is destroyed last.
struct Mds::Parts {
  Parts(io::Env env, kv::MetaStore& store, Options options)
      : Parts(env, store, std::move(options), nullptr) {
    own_server =
        std::make_unique<rpc::Server>(env, rpc::ServerOptions(), context.options.cluster_key);
    server = own_server.get();
  }
  Parts(io::Env env, kv::MetaStore& store, Options options, Office office)
      : Parts(env, store, std::move(options), &office.server) {
    context.election = &office.election;
    services.set_guard([office] { return office.election.confirm(office.term); });
  }

  rpc::Client client;
  Context context;
  RpcService service;
  rpc::Services services;
  std::unique_ptr<rpc::Server> own_server;  ///< null: the process's, which goes on listening
  rpc::Server* server;
  io::Address address;
  bool is_attached = false;

 private:
  Parts(io::Env env, kv::MetaStore& store, Options options, rpc::Server* shared)
      : client(env, rpc::ClientOptions(), options.cluster_key),
        context(env, store, client, options),
        service(context),
        services(env.executor),
        server(shared) {}
};

Mds::Mds(io::Env env, kv::MetaStore& store, Options options)
    : parts_(std::make_unique<Parts>(std::move(env), store, std::move(options))) {}

Mds::Mds(io::Env env, kv::MetaStore& store, Options options, Office office)
    : parts_(std::make_unique<Parts>(std::move(env), store, std::move(options), office)) {}

Mds::~Mds() = default;

io::Task<Status> Mds::start() {
  Context& context = parts_->context;
  CO_TRY(check(context.options));
  CO_TRY(co_await context.load());
  context.started_at = context.env.clock.now();
  parts_->service.add_to(parts_->services);
  parts_->server->attach(parts_->services);
  parts_->is_attached = true;
  parts_->address = parts_->own_server ? CO_TRY(parts_->own_server->listen(context.options.listen))
                                       : context.options.listen;
  context.env.executor.spawn(run_plan_copysets(context));
  context.env.executor.spawn(run_delete_chunks(context));
  context.env.executor.spawn(run_empty_bin(context));
  context.env.executor.spawn(run_watch_liveness(context));
  context.env.executor.spawn(run_schedule(context));
  context.env.executor.spawn(run_expire_sessions(context));
  context.env.logger.info("serving", {{"address", parts_->address.text},
                                      {"cluster", context.state.cluster.name()},
                                      {"chunkservers", context.state.chunkservers.size()},
                                      {"volumes", context.state.volumes_alive_count()}});
  co_return ok();
}

io::Task<void> Mds::stop() {
  parts_->context.stop_jobs();
  if (std::exchange(parts_->is_attached, false)) parts_->server->detach(parts_->services);
  if (parts_->own_server) co_await parts_->own_server->stop();
  co_await parts_->client.stop();
  co_await parts_->services.close();
  co_await parts_->context.jobs.close();
}

Status Mds::health() const {
  if (parts_->address.text.empty()) return error(Errc::kUnavailable, "this MDS is starting");
  if (parts_->context.jobs.is_closed()) return error(Errc::kUnavailable, "this MDS is stopping");
  return ok();
}

Result<std::string> Mds::view(std::string_view name) const {
  TRY(health());
  return show(parts_->context, name);
}

const std::vector<std::string>& Mds::views() {
  return view_names();
}

io::Address Mds::address() const {
  CHECK(!parts_->address.text.empty(), "the server was not started");
  return parts_->address;
}

}  // namespace cairn::mds
