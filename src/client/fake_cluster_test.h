/// A fake MDS and fake chunkservers for tests of what stands on the client: only the leader serves,
/// all share one store, and each can be made to misbehave.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rpc/server.h"
#include "wire/chunk.pb.h"
#include "wire/mds.pb.h"
#include "wire/methods.h"
#include "wire/session.pb.h"

namespace cairn::client::fake {

inline constexpr uint64_t kChunkBytes = 4 * kMiB;
inline constexpr uint64_t kSegmentBytes = 16 * kMiB;
inline constexpr uint64_t kCopysets = 2;
inline constexpr uint64_t kNodes = 3;
inline constexpr uint32_t kLeaseMs = 3000;
inline const rpc::ClusterKey kKey{"a key for tests only"};

struct Write {
  uint64_t client, sequence, oldest, chunk;
  uint32_t offset, size;
};

/// What the three chunkservers have in common.
struct FakeState {
  uint64_t leader = 1;
  std::map<uint64_t, std::vector<std::byte>> chunks;
  std::vector<Write> writes;  ///< as applied
  size_t segment_calls = 0, copyset_calls = 0;
  size_t create_calls = 0;
  std::map<uint64_t, std::string> sessions;  ///< by number: the volume
  uint64_t fence = 0;                        ///< of all volumes; opens and reads are held to it
  size_t opens_refused = 0;                  ///< the next so many opens find the volume open
  size_t renew_calls = 0, close_calls = 0;
  std::map<uint64_t, std::vector<std::pair<uint64_t, uint64_t>>> segments;  ///< chunk, copyset
  std::map<std::string, wire::VolumeInfo> volumes;
};

inline wire::VolumeInfo describe(uint64_t id, std::string name, uint64_t size_bytes) {
  wire::VolumeInfo info;
  info.set_id(id);
  info.set_name(std::move(name));
  info.set_size_bytes(size_bytes);
  info.set_chunk_bytes(kChunkBytes);
  info.set_segment_bytes(kSegmentBytes);
  return info;
}

inline wire::LeaderHint hint_to(const FakeState& state, uint64_t copyset, bool knows_leader) {
  wire::LeaderHint hint;
  hint.set_copyset(copyset);
  if (knows_leader) hint.set_leader_node(state.leader);
  return hint;
}

struct FakeChunkserver {
  io::Env env;
  FakeState& state;
  uint64_t node;
  rpc::Server server{env, {}, kKey};
  io::Event released{env.executor};
  bool hangs = false;              ///< holds requests until released
  bool holds_after_apply = false;  ///< applies a write, and answers when released
  bool knows_leader = true;
  std::vector<Error> errors;  ///< answered first, one a request
  size_t calls = 0;
  size_t inflight = 0, inflight_max = 0;

  FakeChunkserver(io::Env with, FakeState& s, uint64_t n, io::Address address)
      : env(with), state(s), node(n) {
    server.add(wire::Method::kReadChunk, *this, &FakeChunkserver::read);
    server.add(wire::Method::kWriteChunk, *this, &FakeChunkserver::write);
    CHECK(server.listen(std::move(address)).ok());
  }
  std::optional<Error> next_error() {
    if (errors.empty()) return std::nullopt;
    Error first = errors.front();
    errors.erase(errors.begin());
    return first;
  }
  std::vector<std::byte>& chunk(uint64_t id) {
    auto& bytes = state.chunks[id];
    bytes.resize(kChunkBytes);
    return bytes;
  }

  io::Task<Result<rpc::Answer<wire::ReadChunkReply>>> read(rpc::Call<wire::ReadChunkRequest> call) {
    ++calls;
    if (hangs) co_await released.wait();
    if (auto failure = next_error()) co_return std::move(*failure);
    rpc::Answer<wire::ReadChunkReply> answer;
    const auto& request = call.request;
    if (request.target().fence() < state.fence) co_return error(Errc::kStaleFence, "a newer owner");
    if (state.leader != node) {
      *answer.message.mutable_redirect() = hint_to(state, request.target().copyset(), knows_leader);
      co_return answer;
    }
    const auto& bytes = chunk(request.target().chunk());
    answer.attachment.push_back(
        env.buffers.copy_of(ByteView(bytes).subspan(request.offset_bytes(), request.size_bytes())));
    co_return answer;
  }

  io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> write(
      rpc::Call<wire::WriteChunkRequest> call) {
    ++calls;
    inflight_max = std::max(inflight_max, ++inflight);
    auto answer = co_await do_write(std::move(call));
    --inflight;
    co_return std::move(answer);
  }
  io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> do_write(
      rpc::Call<wire::WriteChunkRequest> call) {
    if (hangs) co_await released.wait();
    co_await env.clock.sleep(100us);
    if (auto failure = next_error()) co_return std::move(*failure);
    rpc::Answer<wire::WriteChunkReply> answer;
    const auto& request = call.request;
    if (request.target().fence() < state.fence) co_return error(Errc::kStaleFence, "a newer owner");
    if (state.leader != node) {
      *answer.message.mutable_redirect() = hint_to(state, request.target().copyset(), knows_leader);
      co_return answer;
    }
    auto& bytes = chunk(request.target().chunk());
    if (request.kind() == wire::CHUNK_WRITE_DATA) {
      CHECK(call.attachment.size_bytes() == request.size_bytes());
      std::memcpy(bytes.data() + request.offset_bytes(), call.attachment.data(),
                  request.size_bytes());
    } else {
      std::memset(bytes.data() + request.offset_bytes(), 0, request.size_bytes());
    }
    state.writes.push_back({request.client(), request.sequence(),
                            request.oldest_unresolved_sequence(), request.target().chunk(),
                            request.offset_bytes(), request.size_bytes()});
    if (holds_after_apply) co_await released.wait();
    co_return answer;
  }
};

struct FakeMds {
  io::Env env;
  FakeState& state;
  std::vector<io::Address> members;
  rpc::Server server{env, {}, kKey};
  bool is_leader = true;
  bool loses_answers = false;  ///< carries out and then hangs, once
  io::Event never{env.executor};

  FakeMds(io::Env with, FakeState& s, std::vector<io::Address> m, io::Address address)
      : env(with), state(s), members(std::move(m)) {
    server.add(wire::Method::kStatVolume, *this, &FakeMds::stat);
    server.add(wire::Method::kListVolumes, *this, &FakeMds::list);
    server.add(wire::Method::kCreateVolume, *this, &FakeMds::create);
    server.add(wire::Method::kOpenSession, *this, &FakeMds::open);
    server.add(wire::Method::kRenewSession, *this, &FakeMds::renew);
    server.add(wire::Method::kCloseSession, *this, &FakeMds::close);
    server.add(wire::Method::kGetSegment, *this, &FakeMds::segment);
    server.add(wire::Method::kGetCopysets, *this, &FakeMds::copysets);
    CHECK(server.listen(std::move(address)).ok());
  }
  io::Task<Result<rpc::Answer<wire::StatVolumeReply>>> stat(rpc::Call<wire::StatVolumeRequest> c) {
    if (!is_leader) co_return error(Errc::kNotLeader, "another MDS leads");
    auto found = state.volumes.find(c.request.name());
    if (found == state.volumes.end()) co_return error(Errc::kNotFound, "no such volume");
    rpc::Answer<wire::StatVolumeReply> answer;
    *answer.message.mutable_volume() = found->second;
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::OpenSessionReply>>> open(
      rpc::Call<wire::OpenSessionRequest> c) {
    if (!is_leader) co_return error(Errc::kNotLeader, "another MDS leads");
    auto found = state.volumes.find(c.request.name());
    if (found == state.volumes.end()) co_return error(Errc::kNotFound, "no such volume");
    if (state.opens_refused > 0) {
      --state.opens_refused;
      co_return error(Errc::kAlreadyExists, "the volume is open");
    }
    if (c.request.mode() == wire::SESSION_EXCLUSIVE) ++state.fence;
    state.sessions[c.request.session()] = c.request.name();
    rpc::Answer<wire::OpenSessionReply> answer;
    *answer.message.mutable_volume() = found->second;
    answer.message.set_fence(state.fence);
    answer.message.set_lease_ms(kLeaseMs);
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::RenewSessionReply>>> renew(
      rpc::Call<wire::RenewSessionRequest> c) {
    if (!is_leader) co_return error(Errc::kNotLeader, "another MDS leads");
    ++state.renew_calls;
    if (c.request.fence() != state.fence) co_return error(Errc::kStaleFence, "the session ended");
    rpc::Answer<wire::RenewSessionReply> answer;
    answer.message.set_lease_ms(kLeaseMs);
    for (const auto& [name, info] : state.volumes) {
      if (info.id() == c.request.volume()) answer.message.set_size_bytes(info.size_bytes());
    }
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::CloseSessionReply>>> close(
      rpc::Call<wire::CloseSessionRequest> c) {
    if (!is_leader) co_return error(Errc::kNotLeader, "another MDS leads");
    ++state.close_calls;
    state.sessions.erase(c.request.session());
    co_return rpc::Answer<wire::CloseSessionReply>();
  }
  io::Task<Result<rpc::Answer<wire::ListVolumesReply>>> list(rpc::Call<wire::ListVolumesRequest>) {
    rpc::Answer<wire::ListVolumesReply> answer;
    for (const auto& [name, info] : state.volumes) *answer.message.add_volumes() = info;
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::CreateVolumeReply>>> create(
      rpc::Call<wire::CreateVolumeRequest> c) {
    if (!is_leader) co_return error(Errc::kNotLeader, "another MDS leads");
    ++state.create_calls;
    if (state.volumes.contains(c.request.name())) {
      co_return error(Errc::kAlreadyExists, "there is such a volume");
    }
    wire::VolumeInfo info =
        describe(state.volumes.size() + 1, c.request.name(), c.request.size_bytes());
    state.volumes[info.name()] = info;
    if (std::exchange(loses_answers, false)) co_await never.wait();
    rpc::Answer<wire::CreateVolumeReply> answer;
    *answer.message.mutable_volume() = info;
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::GetSegmentReply>>> segment(
      rpc::Call<wire::GetSegmentRequest> c) {
    ++state.segment_calls;
    const uint64_t index = c.request.segment_index();
    auto& chunks = state.segments[index];
    if (chunks.empty() && !c.request.allocate()) co_return error(Errc::kNotFound, "not allocated");
    for (uint64_t i = chunks.size(); i < kSegmentBytes / kChunkBytes; ++i) {
      chunks.push_back({1000 + index * 100 + i, 1 + i % kCopysets});
    }
    rpc::Answer<wire::GetSegmentReply> answer;
    for (auto [chunk, copyset] : chunks) {
      auto* location = answer.message.add_chunks();
      location->set_chunk(chunk);
      location->set_copyset(copyset);
    }
    co_return answer;
  }
  io::Task<Result<rpc::Answer<wire::GetCopysetsReply>>> copysets(
      rpc::Call<wire::GetCopysetsRequest> c) {
    ++state.copyset_calls;
    rpc::Answer<wire::GetCopysetsReply> answer;
    for (uint64_t copyset : c.request.copysets()) {
      auto* info = answer.message.add_copysets();
      info->set_copyset(copyset);
      info->set_epoch(1);
      for (uint64_t node = 1; node <= members.size(); ++node) {
        auto* member = info->add_members();
        member->set_node(node);
        member->set_address(members[node - 1].text);
      }
    }
    co_return answer;
  }
};

}  // namespace cairn::client::fake
