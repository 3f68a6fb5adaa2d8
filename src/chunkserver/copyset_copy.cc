// Ranges of chunks from other replicas: rotten blocks repaired, lagging chunks caught up.
//
// Why a copy is right, at whatever places of the log the two replicas stand. Let F be the last
// entry whose apply had begun here when the copy began. The source has applied F at least, so its
// block holds every change up to F, and perhaps later ones, which are committed and come here with
// the log: replaying them is harmless. Changes made here after F may be missing in it, so the
// blocks that they touched are left as they are (CopyWatch). Nothing else changes blocks.
#include <algorithm>

#include "chunkserver/copyset.h"

namespace cairn::chunkserver {

namespace {

/// Times that all other replicas are asked for a rotten block, which take a heartbeat to apply what
/// this one has applied.
constexpr int kRepairRoundsMax = 8;
constexpr Duration kRepairRoundDelay = std::chrono::milliseconds(50);

/// This disk's trouble, or the end: asking others does not help.
bool is_final(Errc code) {
  return code == Errc::kIo || code == Errc::kClosed || code == Errc::kNoSpace;
}

}  // namespace

LogIndex Copyset::started_index() const {
  return node_ ? std::max(started_, node_->status().applied) : started_;
}

std::vector<NodeId> Copyset::other_members() const {
  if (!node_) return {};
  const multiraft::NodeStatus status = node_->status();
  std::vector<NodeId> others;
  if (!status.leader.is_none() && status.leader != self_) others.push_back(status.leader);
  for (NodeId member : status.members) {
    if (member != self_ && member != status.leader) others.push_back(member);
  }
  return others;
}

io::Task<Result<Copyset::Copied>> Copyset::copy_range(Range range, CopyWhat what, NodeId source) {
  CopyWatch watch(range.chunk, range.offset_bytes, range.size_bytes);
  const CopyWatches::Registration registered(watches_, watch);
  ChunkSource::Request request{.copyset = id_,
                               .chunk = range.chunk,
                               .offset_bytes = range.offset_bytes,
                               .size_bytes = range.size_bytes,
                               .applied_min = started_index(),
                               .have = {},
                               .is_repair = what != CopyWhat::kAll};
  request.have =
      CO_TRY(co_await store_.verify(id_, range.chunk, range.offset_bytes, range.size_bytes));
  const std::vector<uint32_t> have = request.have;
  const auto rotten_count = static_cast<uint64_t>(std::ranges::count(have, kLostMark));
  if (what == CopyWhat::kRotten && rotten_count == 0) co_return Copied::kBlocks;
  for (size_t i = 0; what == CopyWhat::kRotten && i < have.size(); ++i) {
    if (have[i] != kLostMark) watch.set_newer(i);
  }

  auto piece = co_await source_.fetch(std::move(request), source);
  if (!piece) co_return piece.error();
  const auto turn = co_await copy_turn_.acquire();
  if (watch.is_void()) {
    co_return error(Errc::kUnavailable, "the chunk was removed or replaced meanwhile");
  }
  if (piece->is_absent) {
    if (what != CopyWhat::kAll || watch.has_newer()) {
      co_return error(Errc::kUnavailable, "the source has no such chunk (yet, or any more)");
    }
    // It will be removed here too: what is still to come of the log ends with that. A write that
    // makes it anew comes behind.
    CO_TRY(co_await store_.remove(id_, range.chunk));
    settled_at_ = std::max(settled_at_, piece->committed);
    co_return Copied::kSourceHasNoChunk;
  }
  const LogIndex committed = piece->committed;
  CO_TRY(co_await store_.install(id_, range.chunk, range.offset_bytes, range.size_bytes,
                                 std::move(piece->image), {.have = have, .newer = &watch.newer()}));
  settled_at_ = std::max(settled_at_, committed);
  if (rotten_count > 0) {
    repaired_blocks_.add(rotten_count);
    env_.logger.warn("rotten blocks were repaired from another replica",
                     {{"copyset", id_},
                      {"chunk", range.chunk},
                      {"offset", range.offset_bytes},
                      {"blocks", rotten_count},
                      {"source", source}});
  }
  co_return Copied::kBlocks;
}

// ---- rotten blocks

io::Task<Status> Copyset::repair(ChunkId chunk, uint32_t offset_bytes, uint32_t size_bytes) {
  const auto turn = co_await repair_turn_.acquire();
  const Range range{chunk, offset_bytes, size_bytes};
  Status repaired = co_await repair_from_others(range);
  if (!repaired && repaired.code() != Errc::kClosed) failed_repairs_.add();
  co_return repaired;
}

io::Task<Result<Copyset::Copied>> Copyset::copy_from_anyone(Range range, CopyWhat what) {
  std::optional<Error> last;
  for (NodeId source : other_members()) {
    auto copied = co_await copy_range(range, what, source);
    if (copied || is_final(copied.code())) co_return copied;
    // What may pass outweighs what stays.
    if (!last || last->code() == Errc::kCorrupt) last = copied.error();
  }
  co_return last ? *last : error(Errc::kUnavailable, "no other replica is known");
}

/// kCorrupt once every other replica has said that its blocks have rotted too; kUnavailable while
/// one of them may have better news: the client tries again.
io::Task<Status> Copyset::repair_from_others(Range range) {
  Error last(Errc::kUnavailable, "no other replica is known");
  if (node_ && other_members().empty()) last = error(Errc::kCorrupt, "there is no other replica");
  for (int round = 0; round < kRepairRoundsMax; ++round) {
    if (last.code() == Errc::kCorrupt) break;
    if (round > 0) co_await env_.clock.sleep(kRepairRoundDelay);
    auto copied = co_await copy_from_anyone(range, CopyWhat::kRotten);
    if (copied) co_return ok();
    if (is_final(copied.code())) co_return copied.error();
    last = copied.error();
  }
  co_return error(last.code(), "rotten blocks of chunk " + to_string(range.chunk) + " of copyset " +
                                   to_string(id_) + " could not be repaired: " + last.message());
}

io::Task<Result<Buffer>> Copyset::read_blocks(Range range) {
  auto blocks = co_await store_.read(id_, range.chunk, range.offset_bytes, range.size_bytes);
  if (blocks.code() != Errc::kCorrupt) co_return blocks;
  CO_TRY(co_await repair(range.chunk, range.offset_bytes, range.size_bytes));
  co_return co_await store_.read(id_, range.chunk, range.offset_bytes, range.size_bytes);
}

// ---- catching up

bool Copyset::is_only_kept(ChunkId chunk) const {
  if (missing_.empty() || !missing_.contains(chunk)) return false;
  return !is_copying_ || chunk != *missing_.begin();
}

Status Copyset::check_serves() const {
  if (is_complete()) return ok();
  return error(Errc::kNotLeader, "this replica is being caught up; nothing was done");
}

Status Copyset::check_comparable() const {
  if (is_complete() && (!node_ || node_->status().applied >= settled_at_)) return ok();
  return error(Errc::kUnavailable, "copyset " + to_string(id_) + " is being caught up here: " +
                                       std::to_string(missing_.size()) +
                                       " chunks are missing; ask again later");
}

void Copyset::finish_chunk(ChunkId chunk) {
  if (is_copying_ && chunk == *missing_.begin()) {
    is_copying_ = false;
    copied_bytes_ = 0;
  }
  missing_.erase(chunk);
  if (missing_.empty()) env_.logger.info("the replica is complete", {{"copyset", id_}});
}

io::Task<Status> Copyset::copy_next_piece() {
  if (missing_.empty()) co_return ok();
  if (awaits_adoption_) co_return error(Errc::kUnavailable, "the snapshot is being adopted");
  const ChunkId chunk = *missing_.begin();
  const uint64_t load = loads_count_;
  is_copying_ = true;  // from here on the log's entries for it are applied, beside the copy
  const auto copied =
      co_await copy_from_anyone({chunk, copied_bytes_, piece_bytes_}, CopyWhat::kAll);
  if (load != loads_count_ || missing_.empty() || chunk != *missing_.begin()) co_return ok();
  if (!copied) co_return copied.error();
  copied_bytes_ += piece_bytes_;
  if (*copied == Copied::kSourceHasNoChunk || copied_bytes_ >= chunk_bytes_) finish_chunk(chunk);
  co_return ok();
}

}  // namespace cairn::chunkserver
