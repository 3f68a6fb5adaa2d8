/// A metadata server in the simulator, with chunkservers that do no more than they are told.
#pragma once

#include <gtest/gtest.h>

#include <set>

#include "mds/mds.h"
#include "mds/options.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"
#include "wire/mds.pb.h"
#include "wire/methods.h"
#include "wire/session.pb.h"

namespace cairn::mds::testing {

inline const rpc::ClusterKey kKey{"a key of the test's cluster"};
inline constexpr uint16_t kMdsPort = 6700;
inline constexpr uint16_t kChunkserverPort = 6800;

/// Creates what it is told to, leads a copyset if it is its first member that is not deposed, and
/// remembers which chunks it deleted.
class FakeChunkserver {
 public:
  FakeChunkserver(sim::Host& host, io::Address mds, std::string zone)
      : host_(host), mds_(std::move(mds)), zone_(std::move(zone)) {
    token_ = std::string(16, static_cast<char>('a' + host.number()));
    boot();
  }
  virtual ~FakeChunkserver() { crash(); }

  io::Address address() const { return host_.address(kChunkserverPort); }
  sim::Host& host() { return host_; }
  void boot() {
    if (!host_.is_running()) host_.boot();
    host_.execute([this] {
      client_ = std::make_unique<rpc::Client>(host_.env(), rpc::ClientOptions(), kKey);
      server_ = std::make_unique<rpc::Server>(host_.env(), rpc::ServerOptions(), kKey);
      server_->add(wire::Method::kDeleteChunk, *this, &FakeChunkserver::delete_chunk);
      server_->add(wire::Method::kCountChunks, *this, &FakeChunkserver::count_chunks);
      server_->add(wire::Method::kRaiseFence, *this, &FakeChunkserver::raise_fence);
      ASSERT_TRUE(server_->listen(address()).ok());
    });
  }
  void crash() {
    if (!host_.is_running()) return;
    host_.crash(sim::CrashKind::kKill, [this] {
      server_.reset();
      client_.reset();
    });
  }
  /// Registers, then heartbeats every second until the host crashes.
  void start() { host_.spawn(run()); }

  wire::RegisterChunkserverRequest registration() const {
    wire::RegisterChunkserverRequest request;
    request.set_address(address().text);
    request.set_zone(zone_);
    request.set_server(host_.name());
    request.set_token(token_);
    request.set_capacity_bytes(capacity_bytes);
    return request;
  }
  virtual wire::HeartbeatRequest heartbeat() {
    wire::HeartbeatRequest request;
    request.set_chunkserver(id);
    request.set_token(token_);
    request.set_address(address().text);
    request.set_capacity_bytes(capacity_bytes);
    request.set_used_bytes(used_bytes);
    request.set_disk_failed(is_disk_failed);
    request.set_disk_write_us(disk_write_us);
    for (const auto& [copyset, members] : copysets) {
      auto* report = request.add_copysets();
      report->set_copyset(copyset);
      report->set_epoch(epoch);
      report->set_term(term);
      report->set_is_leader(leads && members.front() == id);
      for (uint64_t member : members) report->add_members(member);
    }
    return request;
  }
  virtual void take(const wire::HeartbeatReply& reply) {
    creates_told += static_cast<size_t>(reply.create_size());
    for (const auto& create : reply.create()) {
      auto& members = copysets[create.copyset()];
      members.clear();
      for (const auto& member : create.members()) members.push_back(member.node());
    }
    peers.clear();
    for (const auto& peer : reply.peers()) peers[peer.node()] = peer.address();
  }

  uint64_t id = 0;
  uint64_t capacity_bytes = 1000 * kGiB;
  uint64_t used_bytes = 0;
  uint64_t term = 1;
  uint64_t epoch = 1;
  bool is_disk_failed = false;
  uint32_t disk_write_us = 0;
  bool leads = true;
  std::map<uint64_t, std::vector<uint64_t>> copysets;
  std::map<uint64_t, std::string> peers;
  size_t creates_told = 0;
  std::multiset<uint64_t> deleted;
  size_t redirects_count = 0;
  std::map<uint64_t, uint64_t> fences;  ///< by copyset, as last raised
  size_t raises_count = 0;
  std::set<uint64_t> discarded;  ///< chunks of copysets that it leads; all others exist
  bool refuses_counts = false;
  bool refuses_fences = false;
  size_t refusals_left = 0;  ///< of delete_chunk

 private:
  io::Task<void> run() {
    while (true) {
      if (id == 0) {
        auto answer = co_await client_->call<wire::RegisterChunkserverReply>(
            mds_, wire::Method::kRegisterChunkserver, registration(), {}, 1s);
        if (answer.ok()) id = answer->message.chunkserver();
      } else {
        auto answer = co_await client_->call<wire::HeartbeatReply>(mds_, wire::Method::kHeartbeat,
                                                                   heartbeat(), {}, 1s);
        if (answer.ok()) take(answer->message);
      }
      co_await host_.env().clock.sleep(id == 0 ? 100ms : 1s);
    }
  }

  io::Task<Result<rpc::Answer<wire::DeleteChunkReply>>> delete_chunk(
      rpc::Call<wire::DeleteChunkRequest> call) {
    rpc::Answer<wire::DeleteChunkReply> answer;
    const auto& target = call.request.target();
    if (refusals_left > 0) {
      --refusals_left;
      co_return error(Errc::kUnavailable, "an injected refusal");
    }
    const auto found = copysets.find(target.copyset());
    if (found == copysets.end()) co_return error(Errc::kNotFound, "no such copyset here");
    if (found->second.front() != id) {
      ++redirects_count;
      answer.message.mutable_redirect()->set_leader_node(found->second.front());
      co_return answer;
    }
    deleted.insert(target.chunk());
    co_return answer;
  }

  io::Task<Result<rpc::Answer<wire::CountChunksReply>>> count_chunks(
      rpc::Call<wire::CountChunksRequest> call) {
    rpc::Answer<wire::CountChunksReply> answer;
    if (refuses_counts) co_return error(Errc::kUnavailable, "an injected refusal");
    const auto found = copysets.find(call.request.copyset());
    if (found == copysets.end()) co_return error(Errc::kNotFound, "no such copyset here");
    if (found->second.front() != id) {
      answer.message.mutable_redirect()->set_leader_node(found->second.front());
      co_return answer;
    }
    uint32_t count = 0;
    for (uint64_t chunk : call.request.chunks()) count += discarded.contains(chunk) ? 0 : 1;
    answer.message.set_chunks_count(count);
    co_return answer;
  }

  io::Task<Result<rpc::Answer<wire::RaiseFenceReply>>> raise_fence(
      rpc::Call<wire::RaiseFenceRequest> call) {
    rpc::Answer<wire::RaiseFenceReply> answer;
    if (refuses_fences) co_return error(Errc::kUnavailable, "an injected refusal");
    const auto found = copysets.find(call.request.copyset());
    if (found == copysets.end()) co_return error(Errc::kNotFound, "no such copyset here");
    if (found->second.front() != id) {
      answer.message.mutable_redirect()->set_leader_node(found->second.front());
      co_return answer;
    }
    uint64_t& fence = fences[call.request.copyset()];
    if (call.request.fence() < fence) co_return error(Errc::kStaleFence, "there is a newer one");
    fence = call.request.fence();
    ++raises_count;
    co_return answer;
  }

  sim::Host& host_;
  const io::Address mds_;
  const std::string zone_;
  std::string token_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
};

class MdsTest : public ::testing::Test {
 protected:
  explicit MdsTest(uint64_t seed = 42)
      : world_(seed), mds_host_(world_.add_host("mds")), client_host_(world_.add_host("client")) {
    options_.cluster_key = kKey;
    options_.listen = mds_host_.address(kMdsPort);
    options_.pool.copysets_per_chunkserver = 12;
    client_ = std::make_unique<rpc::Client>(client_host_.env(), rpc::ClientOptions(), kKey);
  }
  ~MdsTest() override {
    chunkservers_.clear();
    client_host_.crash(sim::CrashKind::kKill, [this] { client_.reset(); });
    if (mds_host_.is_running()) crash_mds();
  }

  void start_mds() {
    if (!mds_host_.is_running()) mds_host_.boot();
    mds_ = std::make_unique<Mds>(mds_host_.env(), *meta_, options_);
    const Status started = world_.run(mds_host_, mds_->start());
    ASSERT_TRUE(started.ok()) << started.error().describe();
  }
  void crash_mds() {
    mds_host_.crash(sim::CrashKind::kKill, [this] { mds_.reset(); });
  }
  void restart_mds() {
    crash_mds();
    start_mds();
    world_.run_for(10ms);  // until callers have noticed that their connections broke
  }
  /// The index is of add order, beginning with 0; zones z0, z1, ...
  FakeChunkserver& add_chunkserver() {
    const std::string number = std::to_string(chunkservers_.size());
    chunkservers_.push_back(std::make_unique<FakeChunkserver>(world_.add_host("cs" + number),
                                                              options_.listen, "z" + number));
    return *chunkservers_.back();
  }
  /// An MDS and chunkservers whose copysets are created and led.
  void start_cluster(size_t chunkservers_count = 3) {
    options_.pool.chunkservers_min = static_cast<uint32_t>(chunkservers_count);
    start_mds();
    for (size_t i = 0; i < chunkservers_count; ++i) add_chunkserver().start();
    ASSERT_TRUE(wait_for_health("ok")) << status().DebugString();
  }

  template <class Reply, class Request>
  Result<Reply> call(wire::Method method, const Request& request, Duration timeout = 5s) {
    auto answer = world_.run(client_host_,
                             client_->call<Reply>(options_.listen, method, request, {}, timeout));
    if (!answer.ok()) return answer.error();
    return std::move(answer->message);
  }
  wire::ClusterStatusReply status() {
    // The first call after a crash may still go into the connection that it broke.
    for (int attempt = 0; attempt < 3; ++attempt) {
      auto reply = call<wire::ClusterStatusReply>(wire::Method::kClusterStatus,
                                                  wire::ClusterStatusRequest());
      if (reply.ok()) return *reply;
    }
    CHECK(false, "the MDS does not answer");
  }
  bool wait_for_health(const std::string& health, Duration limit = 20s) {
    for (Duration waited{}; waited < limit; waited += 250ms) {
      if (status().health() == health) return true;
      world_.run_for(250ms);
    }
    return false;
  }
  Result<wire::VolumeInfo> create_volume(const std::string& name, uint64_t size_bytes) {
    wire::CreateVolumeRequest request;
    request.set_name(name);
    request.set_size_bytes(size_bytes);
    auto reply = call<wire::CreateVolumeReply>(wire::Method::kCreateVolume, request);
    if (!reply.ok()) return reply.error();
    return reply->volume();
  }
  Result<wire::VolumeInfo> stat_volume(const std::string& name) {
    wire::StatVolumeRequest request;
    request.set_name(name);
    auto reply = call<wire::StatVolumeReply>(wire::Method::kStatVolume, request);
    if (!reply.ok()) return reply.error();
    return reply->volume();
  }
  /// For good unless `is_final` is false: then into the recycle bin.
  Status delete_volume(const std::string& name, bool is_final = true, bool force = false) {
    wire::DeleteVolumeRequest request;
    request.set_name(name);
    request.set_is_final(is_final);
    request.set_force(force);
    auto reply = call<wire::DeleteVolumeReply>(wire::Method::kDeleteVolume, request);
    if (!reply.ok()) return reply.error();
    return ok();
  }
  static wire::GetSegmentRequest segment_request(uint64_t volume, uint64_t index, bool allocate) {
    wire::GetSegmentRequest request;
    request.set_volume(volume);
    request.set_segment_index(index);
    request.set_allocate(allocate);
    return request;
  }
  Result<wire::GetSegmentReply> get_segment(uint64_t volume, uint64_t index, bool allocate) {
    return call<wire::GetSegmentReply>(wire::Method::kGetSegment,
                                       segment_request(volume, index, allocate));
  }
  Result<wire::GetCopysetsReply> get_copysets(std::vector<uint64_t> ids = {}) {
    wire::GetCopysetsRequest request;
    for (uint64_t id : ids) request.add_copysets(id);
    return call<wire::GetCopysetsReply>(wire::Method::kGetCopysets, request);
  }
  size_t count_keys(std::string_view prefix) const {
    size_t count = 0;
    for (const auto& [key, value] : store_.content()) count += key.starts_with(prefix) ? 1 : 0;
    return count;
  }

  kv::MemoryMetaStore store_;  // outlives the processes
  kv::MetaStore* meta_ = &store_;
  Options options_;
  sim::World world_;
  sim::Host& mds_host_;
  sim::Host& client_host_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<Mds> mds_;
  std::vector<std::unique_ptr<FakeChunkserver>> chunkservers_;
};

}  // namespace cairn::mds::testing
