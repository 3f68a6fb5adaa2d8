#include "cli/replicated_mds.h"

#include <charconv>
#include <filesystem>

namespace cairn::cli {

Result<std::map<NodeId, io::Address>> parse_peers(const std::vector<std::string>& peers) {
  std::map<NodeId, io::Address> members;
  for (const std::string& text : peers) {
    uint64_t id = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), id);
    const auto at = static_cast<size_t>(end - text.data());
    const bool is_sound = failed == std::errc() && id > 0 && at + 1 < text.size() &&
                          text[at] == '=' && text.find(':', at) != std::string::npos;
    if (!is_sound) {
      return error(Errc::kInvalidArgument,
                   "\"" + text + "\" in --peers is not ID=HOST:PORT, such as 1=10.0.0.1:6700");
    }
    if (!members.emplace(NodeId(id), io::Address{text.substr(at + 1)}).second) {
      return error(Errc::kInvalidArgument, "--peers names member " + std::to_string(id) + " twice");
    }
  }
  return members;
}

Result<std::unique_ptr<ReplicatedMds>> ReplicatedMds::open(Process& process, std::string data,
                                                           kv::ReplicatedOptions store,
                                                           mds::Options options) {
  std::error_code failed;
  std::filesystem::create_directories(data, failed);
  if (failed) return error(Errc::kIo, "cannot make " + data + ": " + failed.message());
  auto disk = TRY(process.reactor().open_disk(data, {.create_root = true, .exclusive = true}));
  auto local = TRY(kv::RocksMetaStore::open(process.env(), data + "/store"));
  return std::unique_ptr<ReplicatedMds>(new ReplicatedMds(
      process, std::move(disk), std::move(local), std::move(store), std::move(options)));
}

ReplicatedMds::ReplicatedMds(Process& process, std::unique_ptr<io::Disk> disk,
                             std::unique_ptr<kv::RocksMetaStore> local, kv::ReplicatedOptions store,
                             mds::Options options)
    : listen_(options.listen),
      disk_(std::move(disk)),
      local_(std::move(local)),
      client_(process.env(), rpc::ClientOptions(), options.cluster_key),
      server_(process.env(), rpc::ServerOptions(), options.cluster_key),
      store_(process.env(), *disk_, *local_, client_, std::move(store)),
      member_(process.env(), store_, server_, std::move(options)) {}

io::Task<Status> ReplicatedMds::start() {
  store_.add_to(server_);
  CO_TRY(server_.listen(listen_));
  CO_TRY(co_await store_.start());
  co_return member_.start();
}

io::Task<void> ReplicatedMds::stop() {
  co_await member_.stop();
  co_await store_.stop();
  co_await server_.stop();
  co_await client_.stop();
}

Status ReplicatedMds::health() const {
  TRY(store_.health());
  return member_.health();
}

}  // namespace cairn::cli
