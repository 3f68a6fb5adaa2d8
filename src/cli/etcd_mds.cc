#include "cli/etcd_mds.h"

#include <CLI/CLI.hpp>

#include "store/etcd/grpc_etcd.h"

namespace cairn::cli {

void add_etcd_options(CLI::App& command, EtcdFlags& flags) {
  command
      .add_option("--etcd-endpoints", flags.endpoints,
                  "HOST:PORT,... of the members of the etcd that keeps the metadata")
      ->delimiter(',')
      ->envname("CAIRN_ETCD_ENDPOINTS");
  command
      .add_option("--etcd-prefix", flags.prefix,
                  "what all keys of this cluster begin with, so that others can use the same etcd")
      ->envname("CAIRN_ETCD_PREFIX")
      ->capture_default_str();
}

Result<std::unique_ptr<EtcdConnection>> EtcdConnection::open(Process& process,
                                                             const EtcdFlags& flags) {
  TRY(etcd::check_prefix(flags.prefix));
  auto inbox = TRY(process.reactor().open_inbox());
  auto endpoints = TRY(etcd::connect(process.reactor(), *inbox, flags.endpoints));
  return std::unique_ptr<EtcdConnection>(
      new EtcdConnection(process.env(), std::move(inbox), std::move(endpoints)));
}

Result<std::unique_ptr<EtcdMds>> EtcdMds::open(Process& process, const EtcdFlags& flags,
                                               const std::string& advertise, mds::Options options) {
  const size_t colon = advertise.rfind(':');
  if (colon == std::string::npos || colon == 0 || advertise.substr(colon) == ":0") {
    return error(Errc::kInvalidArgument,
                 "the other MDS and the clients have to reach this MDS at an address with a port: "
                 "--advertise HOST:PORT, not \"" +
                     advertise + "\"");
  }
  auto connection = TRY(EtcdConnection::open(process, flags));
  etcd::ElectionOptions election;
  election.prefix = flags.prefix;
  election.self = {.name = advertise, .address = advertise};
  return std::unique_ptr<EtcdMds>(
      new EtcdMds(process, std::move(connection), std::move(election), std::move(options)));
}

EtcdMds::EtcdMds(Process& process, std::unique_ptr<EtcdConnection> connection,
                 etcd::ElectionOptions election, mds::Options options)
    : listen_(options.listen),
      connection_(std::move(connection)),
      server_(process.env(), rpc::ServerOptions(), options.cluster_key),
      election_(process.env(), connection_->etcd(), std::move(election)),
      member_(process.env(), election_, server_, std::move(options)) {}

io::Task<Status> EtcdMds::start() {
  CO_TRY(server_.listen(listen_));
  CO_TRY(co_await election_.start());
  co_return member_.start();
}

io::Task<void> EtcdMds::stop() {
  co_await member_.stop();
  co_await election_.stop();
  co_await server_.stop();
}

Status EtcdMds::health() const {
  TRY(election_.health());
  return member_.health();
}

}  // namespace cairn::cli
