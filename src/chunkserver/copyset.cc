#include "chunkserver/copyset.h"

#include <algorithm>

#include "base/planted_bug.h"
#include "wire/chunk.pb.h"

namespace cairn::chunkserver {

using Verdict = WriterWindows::Verdict;

Copyset::Copyset(io::Env env, CopysetId id, chunk::ChunkStore& store,
                 const pool::ChunkFilePool& pool, ChunkSource& source, uint32_t chunk_bytes,
                 uint32_t piece_bytes)
    : env_(env),
      id_(id),
      store_(store),
      pool_(pool),
      source_(source),
      chunk_bytes_(chunk_bytes),
      piece_bytes_(piece_bytes),
      locks_(env.executor),
      copy_turn_(env.executor, 1),
      repair_turn_(env.executor, 1),
      repaired_blocks_(env.metrics.counter("cairn_chunkserver_repaired_blocks_total",
                                           "Rotten blocks replaced by those of another replica")),
      failed_repairs_(env.metrics.counter("cairn_chunkserver_failed_repairs_total",
                                          "Rotten ranges that no other replica could give")) {
  CHECK(is_block_aligned(piece_bytes_) && piece_bytes_ > 0 && chunk_bytes_ % piece_bytes_ == 0);
}

BlockLocks::Range Copyset::blocks_of(const wire::ChunkOp& op) const {
  const uint32_t first = op.offset_bytes / kBlockBytes;
  const auto end = static_cast<uint32_t>(
      round_up(uint64_t{op.offset_bytes} + op.size_bytes, kBlockBytes) / kBlockBytes);
  return {.chunk = op.chunk, .first_block = first, .blocks_count = end - first};
}

Status Copyset::check_space(const wire::ChunkOp& op) const {
  if (op.kind != wire::ChunkOpKind::kWrite || pool_.has_space()) return ok();
  // What is written already needs no room.
  if (store_.contains(id_, op.chunk)) return ok();
  return error(Errc::kNoSpace,
               "the disk has no room for another chunk; nothing was written. Delete volumes or add "
               "chunkservers");
}

Status Copyset::check_fence(VolumeId volume, Fence fence, const char* not_done) const {
  const auto known = fences_.find(volume);
  if (known == fences_.end() || fence >= known->second) return ok();
  return error(Errc::kStaleFence,
               "volume " + to_string(volume) + " has been opened by another client since (fence " +
                   to_string(known->second) + ", not " + to_string(fence) + "); " + not_done);
}

io::Task<Result<LogIndex>> Copyset::write(Write write) {
  wire::ChunkOp& op = write.op;
  CHECK(op.size_bytes > 0 && uint64_t{op.offset_bytes} + op.size_bytes <= chunk_bytes_);
  if (!node_->is_leader()) {
    co_return error(Errc::kNotLeader, "this replica does not lead the copyset; nothing was done");
  }
  CO_TRY(check_serves());
  const Verdict verdict = writers_.look(op.client, op.sequence);
  if (verdict == Verdict::kApplied) co_return LogIndex();
  if (verdict == Verdict::kLate) {
    co_return error(Errc::kPreconditionFailed,
                    "a late copy of a write that was answered before; nothing was written");
  }
  // A courtesy, and no log for a client that is out: what counts is the order in the log.
  CO_TRY(check_fence(op.volume, op.fence, "nothing was written"));
  CO_TRY(check_space(op));
  const bool whole = is_block_aligned(op.offset_bytes) && is_block_aligned(op.size_bytes);
  if (whole) co_return co_await write_whole_blocks(op, std::move(write.data));
  co_return co_await write_partial_blocks(op, std::move(write.data));
}

io::Task<Result<LogIndex>> Copyset::write_whole_blocks(wire::ChunkOp op, Buffer data) {
  const BlockLocks::Range range = blocks_of(op);
  if (!locks_.is_free(range)) co_await locks_.wait_free(range);
  co_return co_await node_->apply(wire::encode(op), std::move(data));
}

io::Task<Result<LogIndex>> Copyset::write_partial_blocks(wire::ChunkOp part, Buffer data) {
  const BlockLocks::Range range = blocks_of(part);
  auto held = co_await locks_.acquire(range);
  // No write of these blocks is proposed from here on; those that were are applied after the drain.
  // That holds for this term: another leader may write them, even if this one leads again later.
  const Term term = node_->term();
  CO_TRY(co_await node_->read_barrier());
  CO_TRY(co_await node_->drain());
  wire::ChunkOp whole = part;
  whole.kind = wire::ChunkOpKind::kWrite;
  whole.offset_bytes = range.first_block * static_cast<uint32_t>(kBlockBytes);
  whole.size_bytes = range.blocks_count * static_cast<uint32_t>(kBlockBytes);
  Buffer merged = CO_TRY(co_await merge(part.chunk, whole, part, std::move(data)));
  CO_TRY(check_space(whole));
  co_return co_await node_->apply(wire::encode(whole), std::move(merged), term);
}

io::Task<Result<Buffer>> Copyset::merge(ChunkId chunk, wire::ChunkOp whole, wire::ChunkOp part,
                                        Buffer data) {
  Buffer merged = env_.buffers.allocate(whole.size_bytes);
  const auto block = static_cast<uint32_t>(kBlockBytes);
  const uint32_t last_offset = whole.offset_bytes + whole.size_bytes - block;
  // Only the blocks at the edges keep anything of what they hold.
  Buffer first = CO_TRY(co_await read_blocks({chunk, whole.offset_bytes, block}));
  Buffer last = first;
  if (last_offset != whole.offset_bytes) {
    last = CO_TRY(co_await read_blocks({chunk, last_offset, block}));
  }
  auto into = merged.mutable_view();
  std::ranges::copy(first.view(), into.begin());
  std::ranges::copy(last.view(), into.end() - block);
  auto middle = into.subspan(part.offset_bytes - whole.offset_bytes, part.size_bytes);
  if (part.kind == wire::ChunkOpKind::kWrite) {
    std::ranges::copy(data.view(), middle.begin());
  } else {
    std::ranges::fill(middle, std::byte{0});
  }
  co_return merged;
}

io::Task<Result<Buffer>> Copyset::read(Read read) {
  const uint64_t read_end = uint64_t{read.offset_bytes} + read.size_bytes;
  CHECK(read.size_bytes > 0 && read_end <= chunk_bytes_);
  CO_TRY(check_serves());
  CO_TRY(co_await node_->read_barrier());
  // Behind the barrier: a fence that was ordered before this read began is applied by now.
  if (!is_planted(PlantedBug::kReadUnfenced)) {
    CO_TRY(check_fence(read.volume, read.fence, "nothing was read"));
  }
  const uint32_t begin = read.offset_bytes / kBlockBytes * kBlockBytes;
  const auto end = static_cast<uint32_t>(round_up(read_end, kBlockBytes));
  Buffer blocks = CO_TRY(co_await read_blocks({read.chunk, begin, end - begin}));
  co_return blocks.slice(read.offset_bytes - begin, read.size_bytes);
}

io::Task<Status> Copyset::raise_fence(VolumeId volume, Fence fence) {
  const auto known = fences_.find(volume);
  // What is applied is committed: no need to order it again.
  if (known != fences_.end() && known->second == fence) co_return ok();
  wire::ChunkOp op;
  op.kind = wire::ChunkOpKind::kRaiseFence;
  op.volume = volume;
  op.fence = fence;
  auto index = co_await node_->apply(wire::encode(op), Buffer());
  if (!index) co_return index.error();
  co_return ok();
}

io::Task<Result<LogIndex>> Copyset::remove_chunk(wire::ChunkOp op) {
  CO_TRY(check_serves());
  op.kind = wire::ChunkOpKind::kDelete;
  co_return co_await node_->apply(wire::encode(op), Buffer());
}

Result<uint32_t> Copyset::count_existing(std::span<const ChunkId> chunks) const {
  if (!node_->is_leader()) {
    return error(Errc::kNotLeader, "this replica does not lead the copyset; nothing was counted");
  }
  TRY(check_serves());
  const auto count =
      std::ranges::count_if(chunks, [&](ChunkId chunk) { return store_.contains(id_, chunk); });
  return static_cast<uint32_t>(count);
}

io::Task<Status> Copyset::on_apply(std::span<multiraft::Command> commands) {
  for (multiraft::Command& command : commands) {
    CO_TRY(co_await apply_one(&command));
    command.is_done = true;
  }
  co_return ok();
}

io::Task<Status> Copyset::apply_removal(ChunkId chunk) {
  io::Semaphore::Permit turn;
  if (!watches_.empty()) {
    // What is being copied must not bring the chunk back.
    turn = co_await copy_turn_.acquire();
    watches_.set_void(chunk);
  }
  // What comes behind this in the log is all that the chunk will hold, until it is copied anew.
  if (missing_.contains(chunk)) finish_chunk(chunk);
  co_return co_await store_.remove(id_, chunk);
}

io::Task<Status> Copyset::apply_to_store(const wire::ChunkOp& op, const Buffer& payload) {
  watches_.note(op.chunk, op.offset_bytes, op.size_bytes);
  if (op.kind == wire::ChunkOpKind::kWriteZeroes) {
    co_return co_await store_.write_zeroes(id_, op.chunk, op.offset_bytes, op.size_bytes);
  }
  co_return co_await store_.write(id_, op.chunk, op.offset_bytes, payload);
}

io::Task<Status> Copyset::apply_one(multiraft::Command* command) {
  const wire::ChunkOp op = CO_TRY(wire::decode_chunk_op(command->head.view()));
  started_ = command->index;
  if (op.kind == wire::ChunkOpKind::kDelete) co_return co_await apply_removal(op.chunk);
  if (op.kind == wire::ChunkOpKind::kScan) co_return co_await apply_scan(op.chunk, command->index);

  if (Status current = check_fence(op.volume, op.fence, "nothing was written"); !current) {
    command->outcome = std::move(current);
    co_return ok();
  }
  // A copyset that got its first chunk of the volume later learns the fence from the first write.
  if (!op.fence.is_zero()) fences_[op.volume] = op.fence;
  if (op.kind == wire::ChunkOpKind::kRaiseFence) co_return ok();
  const Verdict verdict = writers_.look(op.client, op.sequence);
  if (verdict == Verdict::kNew) {
    Status written = ok();
    if (op.kind == wire::ChunkOpKind::kWrite && command->payload.size_bytes() != op.size_bytes) {
      co_return error(Errc::kCorrupt, "a write's payload has another size than its operation says");
    }
    const bool may_be_quick = op.kind == wire::ChunkOpKind::kWrite && watches_.empty();
    if (op.kind == wire::ChunkOpKind::kDiscard) {
      written = co_await apply_removal(op.chunk);
    } else if (!is_only_kept(op.chunk) &&
               (!may_be_quick ||
                !store_.try_write(id_, op.chunk, op.offset_bytes, command->payload, &written))) {
      written = co_await apply_to_store(op, command->payload);
    }
    // Not remembered: one that found no room comes again, and must not be taken for a copy.
    if (!written) co_return written;
  } else if (verdict == Verdict::kLate) {
    command->outcome = error(Errc::kPreconditionFailed,
                             "a late copy of a write that was answered before; nothing was "
                             "written");
  }
  CHECK(writers_.admit(op.client, op.sequence, op.oldest_unresolved_sequence) == verdict);
  co_return ok();
}

void Copyset::on_epoch(Epoch epoch, LogIndex index) {
  epoch_ = epoch;
  started_ = index;
  awaits_adoption_ = false;
  if (!is_complete() && listener_) listener_->on_incomplete(id_);
}

void Copyset::on_leader_start(Term term) {
  env_.logger.debug("copyset led", {{"copyset", id_}, {"term", term}, {"epoch", epoch_}});
  if (listener_) listener_->on_copyset_news();
}

void Copyset::on_leader_stop() {
  if (listener_) listener_->on_copyset_news();
}

void Copyset::on_error(const Error& reason) {
  (void)reason;  // the host tells it to whoever asks
  if (listener_) listener_->on_copyset_news();
}

Buffer Copyset::describe() const {
  wire::CopysetSnapshot snapshot;
  snapshot.set_epoch(epoch_.value());
  // A copyset without chunks has nothing on disk yet, and that is no error.
  if (auto chunks = store_.list(id_)) {
    for (ChunkId chunk : *chunks) snapshot.add_chunks(chunk.value());
  }
  for (ChunkId chunk : missing_) snapshot.add_missing_chunks(chunk.value());
  for (const auto& [volume, fence] : fences_) {
    if (fence.is_zero()) continue;
    auto* entry = snapshot.add_fences();
    entry->set_volume(volume.value());
    entry->set_fence(fence.value());
  }
  for (const WriterWindows::Writer& writer : writers_.save()) {
    auto* entry = snapshot.add_writers();
    entry->set_client(writer.client);
    entry->set_oldest_unresolved_sequence(writer.oldest_unresolved);
    std::string bits;
    for (uint64_t sequence : writer.applied) {
      const uint64_t bit = sequence - writer.oldest_unresolved;
      if (bits.size() <= bit / 8) bits.resize(bit / 8 + 1);
      bits[bit / 8] = static_cast<char>(bits[bit / 8] | (1 << (bit % 8)));
    }
    entry->set_applied(std::move(bits));
  }
  return Buffer::copy_of(snapshot.SerializeAsString());
}

Status Copyset::restore(const wire::CopysetSnapshot& snapshot) {
  std::vector<WriterWindows::Writer> writers;
  for (const auto& entry : snapshot.writers()) {
    WriterWindows::Writer writer{.client = entry.client(),
                                 .oldest_unresolved = entry.oldest_unresolved_sequence()};
    for (uint64_t bit = 0; bit < entry.applied().size() * 8; ++bit) {
      if (entry.applied()[bit / 8] >> (bit % 8) & 1) {
        writer.applied.push_back(writer.oldest_unresolved + bit);
      }
    }
    writers.push_back(std::move(writer));
  }
  TRY(writers_.load(writers));
  epoch_ = Epoch(snapshot.epoch());
  fences_.clear();
  for (const auto& entry : snapshot.fences()) {
    fences_[VolumeId(entry.volume())] = Fence(entry.fence());
  }
  missing_.clear();
  is_copying_ = false;
  copied_bytes_ = 0;
  settled_at_ = LogIndex();
  ++loads_count_;
  return ok();
}

Result<wire::CopysetSnapshot> Copyset::decode_snapshot(ByteView data) {
  wire::CopysetSnapshot snapshot;
  if (snapshot.ParseFromArray(data.data(), static_cast<int>(data.size()))) return snapshot;
  return error(Errc::kCorrupt, "the snapshot of the copyset cannot be read");
}

io::Task<Result<multiraft::SavedState>> Copyset::on_snapshot_save() {
  // Described first: what is applied while the flush runs comes again from the log.
  multiraft::SavedState saved{.data = describe()};
  CO_TRY(co_await store_.flush(id_));
  co_return saved;
}

io::Task<Status> Copyset::on_recover(Buffer data) {
  // The chunks are on this disk already, but for missing ones; the log brings them up to date.
  const wire::CopysetSnapshot snapshot = CO_TRY(decode_snapshot(data.view()));
  CO_TRY(co_await store_.create_copyset(id_));
  CO_TRY(restore(snapshot));
  for (uint64_t chunk : snapshot.missing_chunks()) missing_.emplace(chunk);
  awaits_adoption_ = false;
  co_return ok();
}

io::Task<Status> Copyset::on_snapshot_load(Buffer data, NodeId source) {
  (void)source;  // whoever is complete by then is asked for each piece
  const wire::CopysetSnapshot snapshot = CO_TRY(decode_snapshot(data.view()));
  if (snapshot.missing_chunks_size() > 0) {
    co_return error(Errc::kUnavailable, "the leader's own replica is being caught up");
  }
  const auto turn = co_await copy_turn_.acquire();
  watches_.set_all_void();
  CO_TRY(restore(snapshot));
  for (uint64_t chunk : snapshot.chunks()) missing_.emplace(chunk);
  awaits_adoption_ = true;
  const std::vector<ChunkId> present = CO_TRY(store_.list(id_));
  for (ChunkId chunk : present) {
    if (!missing_.contains(chunk)) CO_TRY(co_await store_.remove(id_, chunk));
  }
  co_return co_await store_.flush(id_);
}

}  // namespace cairn::chunkserver
