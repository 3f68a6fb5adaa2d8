/// Chunkservers on simulated hosts, and a client that calls them: what their tests share.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "chunkserver/chunkserver.h"
#include "chunkserver/peers_file.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "sim/io/world.h"
#include "store/chunk/store_bench_test.h"
#include "wire/methods.h"

namespace cairn::chunkserver {

using chunk::pattern;
using chunk::same_bytes;

inline const rpc::ClusterKey kKey{"the key of the test's cluster"};
inline constexpr uint64_t kCopyset = 4, kChunk = 11;
inline constexpr uint32_t kBlock = kBlockBytes;
inline constexpr uint32_t kChunkBytes = 64 * kKiB;

/// One chunkserver; starts anew after a crash.
class Server {
 public:
  Server(sim::Host& host, uint64_t id, Options options)
      : host_(host), id_(id), options_(std::move(options)) {}
  ~Server() { crash(sim::CrashKind::kKill); }
  void start() {
    if (!host_.is_running()) host_.boot();
    started.reset();
    host_.execute([this] {
      server_ = std::make_unique<Chunkserver>(host_.env(), host_.disk(), options_);
      host_.env().executor.spawn(run_start());
    });
  }
  void crash(sim::CrashKind kind) {
    if (host_.is_running()) host_.crash(kind, [this] { server_.reset(); });
  }
  bool is_up() const { return host_.is_running() && started && started->ok(); }
  Chunkserver& operator*() { return *server_; }
  Chunkserver* operator->() { return server_.get(); }
  sim::Host& host() { return host_; }
  uint64_t id() const { return id_; }
  Options& options() { return options_; }
  multiraft::Node* node() { return is_up() ? server_->raft()->find(GroupId(kCopyset)) : nullptr; }
  std::optional<Status> started;

 private:
  io::Task<void> run_start() {
    Status status = co_await server_->start();
    started = status;
  }
  sim::Host& host_;
  const uint64_t id_;
  Options options_;
  std::unique_ptr<Chunkserver> server_;
};

/// Registers disks by the first byte of their token, takes heartbeats and answers each chunkserver
/// with what the test has put down for it.
class FakeMds {
 public:
  explicit FakeMds(sim::Host& host) : host_(host) {
    host_.execute([this] {
      server_ = std::make_unique<rpc::Server>(host_.env(), rpc::ServerOptions(), kKey);
      server_->add(wire::Method::kHeartbeat, *this, &FakeMds::heartbeat);
      server_->add(wire::Method::kRegisterChunkserver, *this, &FakeMds::register_chunkserver);
      CHECK(server_->listen(address()).ok());
    });
  }
  ~FakeMds() {
    host_.crash(sim::CrashKind::kKill, [this] { server_.reset(); });
  }
  io::Address address() const { return host_.address(6700); }

  struct Sender {
    wire::HeartbeatRequest last;
    size_t count = 0;
    Instant heard_at;
    wire::HeartbeatReply next;  ///< told once
    /// Outcomes of changes, by operator, and how often each was reported.
    std::map<uint64_t, std::pair<std::string, int>> ended;
    std::optional<Error> refusal;  ///< instead of an answer
    std::string registered_at;
  };
  std::map<uint64_t, Sender> senders;
  /// What chunkserver `of` said last of a copyset; null: nothing.
  const wire::CopysetHeartbeat* report(uint64_t of, uint64_t copyset) {
    for (const auto& entry : senders[of].last.copysets()) {
      if (entry.copyset() == copyset) return &entry;
    }
    return nullptr;
  }

 private:
  io::Task<Result<rpc::Answer<wire::RegisterChunkserverReply>>> register_chunkserver(
      rpc::Call<wire::RegisterChunkserverRequest> call) {
    wire::RegisterChunkserverReply reply;
    reply.set_chunkserver(static_cast<uint8_t>(call.request.token()[0]));
    Sender& sender = senders[reply.chunkserver()];
    if (sender.refusal) co_return error(Errc::kUnavailable, sender.refusal->message());
    sender.registered_at = call.request.address();
    co_return rpc::Answer<wire::RegisterChunkserverReply>{.message = std::move(reply)};
  }
  io::Task<Result<rpc::Answer<wire::HeartbeatReply>>> heartbeat(
      rpc::Call<wire::HeartbeatRequest> call) {
    Sender& sender = senders[call.request.chunkserver()];
    if (sender.refusal) co_return *sender.refusal;
    sender.last = call.request;
    sender.heard_at = host_.env().clock.now();
    ++sender.count;
    for (const auto& entry : call.request.copysets()) {
      if (!entry.has_ended()) continue;
      auto& [why, times] = sender.ended[entry.ended().operator_id()];
      why = entry.ended().error();
      ++times;
    }
    co_return rpc::Answer<wire::HeartbeatReply>{.message = std::exchange(sender.next, {})};
  }
  sim::Host& host_;
  std::unique_ptr<rpc::Server> server_;
};

class ChunkserverTest : public ::testing::Test {
 protected:
  ChunkserverTest()
      : world_(5), client_host_(world_.add_host("client")), mds_(world_.add_host("mds")) {
    client_ = std::make_unique<rpc::Client>(client_host_.env(), rpc::ClientOptions(), kKey);
    for (uint64_t id = 1; id <= 3; ++id) add_server(id);
    CHECK(world_.run_until([&] { return all_up(); }, 60s));
  }
  ~ChunkserverTest() override {
    client_host_.crash(sim::CrashKind::kKill, [this] { client_.reset(); });
  }
  static Options options(io::Address listen) {
    Options options;
    options.listen = std::move(listen);
    options.key = kKey;
    options.raft.snapshot_log_entries = 40;
    options.raft.retained_log_entries = 10;
    options.raft.snapshot_check_interval = 100ms;
    options.fetch_bytes = 16 * kKiB;
    options.wal.segment_bytes = kMiB;
    options.store.chunk_bytes = kChunkBytes;
    options.pool.ready_min = 2;
    options.pool.ready_target = 4;
    options.pool.space_reserve_bytes = 16 * kMiB;
    options.pool.headroom_files = 2;
    return options;
  }
  Server& add_server(uint64_t id) {
    sim::Host& host = world_.add_host("cs" + std::to_string(id));
    // A disk that the MDS has named, and let in at this address, starts without it.
    const Identity identity{.token = {static_cast<std::byte>(id)}, .id = ChunkserverId(id)};
    multiraft::PeerDirectory peers;
    peers.set(NodeId(id), host.address(8200));
    CHECK(world_.run(host, save_identity(host.disk(), identity)).ok());
    CHECK(world_.run(host, save_peers(host.disk(), &peers)).ok());
    Options its_options = options(host.address(8200));
    its_options.mds = {mds_.address()};
    servers_.push_back(std::make_unique<Server>(host, id, std::move(its_options)));
    servers_.back()->start();
    return *servers_.back();
  }
  bool all_up() {
    return std::ranges::all_of(servers_, [](auto& s) { return s->is_up(); });
  }
  template <class Reply, class Request>
  Result<rpc::Answer<Reply>> call(Server& to, wire::Method method, const Request& request,
                                  std::vector<Buffer> attachment = {}) {
    return world_.run(client_host_, client_->call<Reply>(to.host().address(8200), method, request,
                                                         std::move(attachment), 5s));
  }
  /// On the first three chunkservers.
  wire::CreateCopysetRequest founding(uint64_t copyset) {
    wire::CreateCopysetRequest request;
    request.set_copyset(copyset);
    for (size_t i = 0; i < 3; ++i) {
      auto* member = request.add_members();
      member->set_node(servers_[i]->id());
      member->set_address(servers_[i]->host().address(8200).text);
    }
    return request;
  }
  void create(uint64_t copyset = kCopyset) {
    const auto request = founding(copyset);
    for (size_t i = 0; i < 3; ++i) {
      auto made =
          call<wire::CreateCopysetReply>(*servers_[i], wire::Method::kCreateCopyset, request);
      ASSERT_TRUE(made.ok()) << made.error().describe();
    }
  }
  Server& leader() {
    Server* found = nullptr;
    CHECK(world_.run_until(
        [&] {
          for (auto& server : servers_) {
            if (server->node() && server->node()->is_ready_leader()) found = server.get();
          }
          return found != nullptr;
        },
        60s));
    return *found;
  }
  Server& follower() {
    Server& leads = leader();
    for (auto& server : servers_) {
      if (server.get() != &leads && server->is_up()) return *server;
    }
    check_failed("a follower", __FILE__, __LINE__);
  }
  static wire::WriteChunkRequest write_request(uint64_t chunk, uint32_t offset, uint32_t size) {
    wire::WriteChunkRequest request;
    request.mutable_target()->set_copyset(kCopyset);
    request.mutable_target()->set_chunk(chunk);
    request.mutable_target()->set_volume(1);
    request.set_offset_bytes(offset);
    request.set_size_bytes(size);
    return request;
  }
  Status write(Server& to, uint64_t chunk, uint32_t offset, const Buffer& data) {
    auto request = write_request(chunk, offset, static_cast<uint32_t>(data.size_bytes()));
    auto answer = call<wire::WriteChunkReply>(to, wire::Method::kWriteChunk, request, {data});
    if (!answer.ok()) return answer.error();
    if (answer->message.has_redirect()) return error(Errc::kNotLeader, "redirected");
    return ok();
  }
  Result<Buffer> read(Server& from, uint64_t chunk, uint32_t offset, uint32_t size) {
    wire::ReadChunkRequest request;
    request.mutable_target()->set_copyset(kCopyset);
    request.mutable_target()->set_chunk(chunk);
    request.set_offset_bytes(offset);
    request.set_size_bytes(size);
    auto answer = call<wire::ReadChunkReply>(from, wire::Method::kReadChunk, request);
    if (!answer.ok()) return answer.error();
    if (answer->message.has_redirect()) return error(Errc::kNotLeader, "redirected");
    return answer->attachment.front();
  }
  bool reads(Server& from, uint64_t chunk, uint32_t offset, const Buffer& expected) {
    auto got = read(from, chunk, offset, static_cast<uint32_t>(expected.size_bytes()));
    // The first call to a server that came back finds the connection to its predecessor.
    if (got.code() == Errc::kUnavailable) {
      got = read(from, chunk, offset, static_cast<uint32_t>(expected.size_bytes()));
    }
    EXPECT_TRUE(got.ok()) << (got.ok() ? "" : got.error().describe());
    return got.ok() && same_bytes(got->view(), expected.view());
  }
  /// Until all replicas answer the same hashes at the same index.
  bool replicas_agree() {
    std::vector<Server*> all;
    for (auto& server : servers_) all.push_back(server.get());
    return replicas_agree(all);
  }
  bool replicas_agree(const std::vector<Server*>& replicas) {
    for (int tries = 0; tries < 100; ++tries) {
      std::set<std::string> answers;
      wire::ChunkHashRequest request;
      request.set_copyset(kCopyset);
      request.set_read_data(true);
      for (Server* server : replicas) {
        auto answer = call<wire::ChunkHashReply>(*server, wire::Method::kChunkHash, request);
        answers.insert(answer.ok() ? answer->message.SerializeAsString() : "error");
      }
      if (answers.size() == 1 && !answers.contains("error")) return true;
      world_.run_for(200ms);
    }
    return false;
  }
  static std::string path_of(uint64_t chunk) {
    return "copysets/" + std::to_string(kCopyset) + "/chunk-" + std::to_string(chunk);
  }
  /// Flips a bit of a block behind the server's back.
  static void rot(Server& server, uint64_t chunk, uint64_t block) {
    const uint64_t at = chunk::ChunkLayout(kChunkBytes).block_offset(block) + 5;
    CHECK(server.host().disk().corrupt(path_of(chunk), at).ok());
  }
  void cut_off(Server& server) {
    for (auto& other : servers_) {
      if (other.get() != &server) world_.fabric().cut_both(server.host(), other->host());
    }
  }

  sim::World world_;
  sim::Host& client_host_;
  FakeMds mds_;
  std::unique_ptr<rpc::Client> client_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace cairn::chunkserver
