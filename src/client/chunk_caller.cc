#include "client/chunk_caller.h"

#include <algorithm>

#include "rpc/client.h"
#include "wire/chunk.pb.h"
#include "wire/methods.h"

namespace cairn::client {
namespace {

void fill(wire::ChunkTarget* target, const ChunkRange& range) {
  target->set_copyset(range.copyset.value());
  target->set_chunk(range.chunk.value());
  target->set_volume(range.volume.value());
  target->set_fence(range.fence.value());
}

wire::ChunkWriteKind to_wire(WriteKind kind) {
  switch (kind) {
    case WriteKind::kData:
      return wire::CHUNK_WRITE_DATA;
    case WriteKind::kZeroes:
      return wire::CHUNK_WRITE_ZEROES;
    case WriteKind::kDiscard:
      return wire::CHUNK_WRITE_DISCARD;
  }
  check_failed("a write has a kind", __FILE__, __LINE__);
}

std::vector<Buffer> parts_of(const Buffer& data) {
  std::vector<Buffer> parts;
  if (!data.empty()) parts.push_back(data);
  return parts;
}

}  // namespace

ChunkCaller::ChunkCaller(io::Env env, rpc::Client& rpc, CopysetRoutes& routes,
                         const ClientOptions& options)
    : env_(env),
      rpc_(rpc),
      routes_(routes),
      options_(options),
      redirects_(env.metrics.counter("cairn_client_redirects_total",
                                     "Answers of replicas that do not lead.")),
      retries_(env.metrics.counter("cairn_client_retries_total", "Tries after the first.")),
      timeouts_(env.metrics.counter("cairn_client_timeouts_total",
                                    "Tries that were not answered in time.")) {}

ChunkCaller::Tries ChunkCaller::new_tries() const {
  return {{},
          Pace({options_.try_timeout_min, options_.try_timeout_max, options_.backoff_min,
                options_.backoff_max}),
          0,
          false,
          error(Errc::kTimeout, "no time was left for a try")};
}

io::Task<Result<Buffer>> ChunkCaller::read(ChunkRange range, Instant deadline) {
  wire::ReadChunkRequest request;
  fill(request.mutable_target(), range);
  request.set_offset_bytes(range.offset_bytes);
  request.set_size_bytes(range.size_bytes);
  Tries tries = new_tries();
  for (;;) {
    const Member* member = choose(range.copyset, &tries);
    if (!member) {
      if (co_await another_round(range.copyset, &tries, deadline)) continue;
      co_return gave_up(false, range, tries);
    }
    const NodeId asked = member->node;
    const Duration timeout = timeout_of(tries, deadline);
    auto answer = co_await rpc_.call<wire::ReadChunkReply>(
        member->address, wire::Method::kReadChunk, request, {}, timeout);
    if (!answer.ok()) {
      if (retry_after(answer.error(), range.copyset, asked, &tries)) continue;
      co_return gave_up(false, range, tries);
    }
    if (answer->message.has_redirect()) {
      follow(answer->message.redirect(), range.copyset, asked, &tries);
      continue;
    }
    routes_.find(range.copyset)->leader = asked;
    const size_t got = answer->attachment.empty() ? 0 : answer->attachment.front().size_bytes();
    if (answer->attachment.size() > 1 || got != range.size_bytes) {
      co_return error(Errc::kProtocol, "node " + to_string(asked) + " answered a read of " +
                                           std::to_string(range.size_bytes) + " bytes with " +
                                           std::to_string(got));
    }
    co_return std::move(answer->attachment.front());
  }
}

io::Task<Status> ChunkCaller::write(ChunkRange range, WriteKind kind, Buffer data,
                                    WriteIdentity identity, Instant deadline) {
  CHECK(data.size_bytes() == (kind == WriteKind::kData ? range.size_bytes : 0));
  wire::WriteChunkRequest request;
  fill(request.mutable_target(), range);
  request.set_kind(to_wire(kind));
  request.set_offset_bytes(range.offset_bytes);
  request.set_size_bytes(range.size_bytes);
  request.set_client(identity.client);
  request.set_sequence(identity.sequence);
  Tries tries = new_tries();
  for (;;) {
    const Member* member = choose(range.copyset, &tries);
    if (!member) {
      if (co_await another_round(range.copyset, &tries, deadline)) continue;
      co_return gave_up(true, range, tries);
    }
    const NodeId asked = member->node;
    request.set_oldest_unresolved_sequence(identity.window->oldest_unresolved());
    const Duration timeout = timeout_of(tries, deadline);
    auto answer = co_await rpc_.call<wire::WriteChunkReply>(
        member->address, wire::Method::kWriteChunk, request, parts_of(data), timeout);
    if (!answer.ok()) {
      if (retry_after(answer.error(), range.copyset, asked, &tries)) continue;
      co_return gave_up(true, range, tries);
    }
    if (answer->message.has_redirect()) {
      follow(answer->message.redirect(), range.copyset, asked, &tries);
      continue;
    }
    routes_.find(range.copyset)->leader = asked;
    co_return ok();
  }
}

Duration ChunkCaller::timeout_of(const Tries& tries, Instant deadline) const {
  // A try that begins at the deadline still gets a moment: redirects come without a pause.
  return std::max(std::min(tries.pace.timeout(), deadline - env_.clock.now()), Duration(1ms));
}

const Member* ChunkCaller::choose(CopysetId copyset, Tries* tries) {
  const CopysetRoute* route = routes_.find(copyset);
  if (!route || is_stopping_) return nullptr;
  const Member* member = tries->search.choose(*route, env_.clock.now());
  if (member && ++tries->count > 1) retries_.add();
  return member;
}

io::Task<bool> ChunkCaller::another_round(CopysetId copyset, Tries* tries, Instant deadline) {
  if (is_stopping_) {
    tries->last = error(Errc::kClosed, "the client is stopping");
    co_return false;
  }
  const Instant now = env_.clock.now();
  if (now >= deadline) co_return false;
  if (!routes_.find(copyset)) {
    std::vector<CopysetId> one;
    one.push_back(copyset);
    auto fetched = co_await routes_.fetch(std::move(one), deadline);
    if (!fetched.ok()) tries->last = std::move(fetched).error();
    co_return fetched.ok();
  }
  // All were asked: perhaps an election, perhaps our members are old.
  routes_.refresh_soon(copyset);
  const Duration pause = tries->pace.next_backoff(env_.rng);
  co_await env_.clock.sleep(std::min(pause, deadline - now));
  tries->search.start_round();
  co_return env_.clock.now() < deadline;
}

bool ChunkCaller::retry_after(const Error& failure, CopysetId copyset, NodeId asked, Tries* tries) {
  tries->last = failure;
  if (outcome_unknown(failure.code())) tries->may_be_done = true;
  const Verdict verdict = judge(failure.code());
  if (verdict == Verdict::kGiveUp) return false;
  if (failure.code() == Errc::kTimeout) {
    tries->pace.on_timeout();
    timeouts_.add();
  }
  if (verdict == Verdict::kRefresh) routes_.refresh_soon(copyset);
  CopysetRoute& route = *routes_.find(copyset);
  if (verdict == Verdict::kBackOff) {
    tries->search.end_round(route);  // it leads and is busy: nobody else can serve
    return true;
  }
  const bool is_silent = failure.code() == Errc::kTimeout || failure.code() == Errc::kUnavailable;
  tries->search.failed(route, asked, env_.clock.now(),
                       is_silent ? options_.suspicion : Duration::zero());
  return true;
}

void ChunkCaller::follow(const wire::LeaderHint& hint, CopysetId copyset, NodeId asked,
                         Tries* tries) {
  redirects_.add();
  tries->last = error(Errc::kNotLeader, "copyset " + to_string(copyset) + " has no known leader");
  CopysetRoute& route = *routes_.find(copyset);
  const NodeId leader(hint.leader_node());
  if (!leader.is_none() && !route.find(leader)) {
    // A member that we have not heard of: the copyset was reconfigured.
    routes_.refresh_soon(copyset);
  }
  tries->search.redirected(route, asked, leader, env_.clock.now());
}

Error ChunkCaller::gave_up(bool is_write, const ChunkRange& range, const Tries& tries) const {
  std::string text = std::string(is_write ? "write" : "read") + " of " +
                     std::to_string(range.size_bytes) + " bytes at " +
                     std::to_string(range.offset_bytes) + " of chunk " + to_string(range.chunk) +
                     " (copyset " + to_string(range.copyset) + ") failed after " +
                     std::to_string(tries.count) + " tries: " + tries.last.message();
  if (is_write) {
    text +=
        tries.may_be_done ? "; it may or may not have been carried out" : "; nothing was written";
  }
  const bool is_final = judge(tries.last.code()) == Verdict::kGiveUp || is_stopping_;
  return error(is_final ? tries.last.code() : Errc::kTimeout, std::move(text));
}

}  // namespace cairn::client
