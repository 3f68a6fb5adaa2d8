#include "cli/etcd_mds.h"

#include <CLI/CLI.hpp>
#include <fstream>

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
  command
      .add_option("--etcd-ca", flags.ca_file,
                  "certificate of who signed etcd's: talk to https:// endpoints, by TLS")
      ->envname("CAIRN_ETCD_CA");
  command
      .add_option("--etcd-cert", flags.cert_file,
                  "certificate to show to an etcd that asks for one (--client-cert-auth)")
      ->envname("CAIRN_ETCD_CERT");
  command.add_option("--etcd-key", flags.key_file, "the key of --etcd-cert")
      ->envname("CAIRN_ETCD_KEY");
}

namespace {

Result<std::string> read_pem(const std::string& path) {
  constexpr size_t kPemBytesMax = kMiB;
  if (path.empty()) return std::string();
  std::ifstream file(path, std::ios::binary);
  if (!file) return error(Errc::kNotFound, path + " cannot be read");
  std::string pem(kPemBytesMax, '\0');
  file.read(pem.data(), kPemBytesMax);
  pem.resize(static_cast<size_t>(file.gcount()));
  if (pem.find("-----BEGIN ") == std::string::npos) {
    return error(Errc::kInvalidArgument, path + " holds no certificate or key as PEM");
  }
  return pem;
}

Result<etcd::Tls> read_tls(const EtcdFlags& flags) {
  etcd::Tls tls;
  tls.authority = TRY(read_pem(flags.ca_file));
  tls.certificate = TRY(read_pem(flags.cert_file));
  tls.key = TRY(read_pem(flags.key_file));
  if (!tls.is_on() && !tls.certificate.empty()) {
    return error(Errc::kInvalidArgument, "--etcd-cert is of use with TLS only: give --etcd-ca");
  }
  return tls;
}

}  // namespace

Result<std::unique_ptr<EtcdConnection>> EtcdConnection::open(Process& process,
                                                             const EtcdFlags& flags) {
  TRY(etcd::check_prefix(flags.prefix));
  const etcd::Tls tls = TRY(read_tls(flags));
  auto inbox = TRY(process.reactor().open_inbox());
  auto endpoints = TRY(etcd::connect(process.reactor(), *inbox, flags.endpoints, tls));
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
