#include "store/chunk/chunk_file.h"

#include <cstdio>

#include "base/crc32c.h"

namespace cairn::chunk {

namespace {

std::string hex(uint32_t value) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

void fill_zero(MutableByteView bytes) {
  std::memset(bytes.data(), 0, bytes.size());
}

}  // namespace

ChunkFileMetrics::ChunkFileMetrics(Registry& registry)
    : corrupt_blocks_total(registry.counter("cairn_chunk_corrupt_blocks_total",
                                            "Blocks whose bytes did not match their checksum")),
      corrupt_slots_total(registry.counter("cairn_chunk_corrupt_slots_total",
                                           "Headers or tables of chunk files that were not valid")),
      lost_tables_total(registry.counter("cairn_chunk_lost_tables_total",
                                         "Chunks opened whose checksums were all gone")) {}

ChunkFile::ChunkFile(io::Env env, std::unique_ptr<io::File> file, ChunkLayout layout,
                     ChunkIdentity identity, ChunkFileMetrics& metrics)
    : env_(env),
      file_(std::move(file)),
      layout_(layout),
      identity_(identity),
      metrics_(metrics),
      table_(layout.blocks_count(), kHole) {
  CHECK(is_valid_chunk_bytes(layout.chunk_bytes));
  CHECK(!identity.chunk.is_none() && !identity.copyset.is_none());
}

io::Task<Result<std::unique_ptr<ChunkFile>>> ChunkFile::open(io::Env env, io::Disk& disk,
                                                             std::string path, ChunkLayout layout,
                                                             ChunkIdentity identity,
                                                             ChunkFileMetrics& metrics) {
  auto file = CO_TRY(co_await disk.open(path, io::OpenOptions{}));
  std::unique_ptr<ChunkFile> chunk(new ChunkFile(env, std::move(file), layout, identity, metrics));
  CO_TRY(co_await chunk->load());
  co_return chunk;
}

io::Task<Result<std::unique_ptr<ChunkFile>>> ChunkFile::create(io::Env env, io::Disk& disk,
                                                               std::string path, ChunkLayout layout,
                                                               ChunkIdentity identity,
                                                               ChunkFileMetrics& metrics) {
  auto file = CO_TRY(co_await disk.open(path, io::OpenOptions{}));
  co_return std::unique_ptr<ChunkFile>(
      new ChunkFile(env, std::move(file), layout, identity, metrics));
}

io::Task<Status> ChunkFile::load() {
  // A power loss may have cut a file that was made on demand and never flushed.
  const uint64_t file_bytes = CO_TRY(co_await file_->size());
  if (file_bytes < layout_.file_bytes()) {
    env_.logger.warn(
        "a chunk file is short: extended",
        {{"chunk", identity_.chunk}, {"copyset", identity_.copyset}, {"bytes", file_bytes}});
    CO_TRY(co_await file_->truncate(layout_.file_bytes()));
  }
  Buffer bytes = env_.buffers.allocate(layout_.slot_bytes());
  CO_TRY(co_await file_->read(layout_.slot_offset(0), bytes.mutable_view()));
  const Slot a = decode_slot(layout_, identity_, bytes.view());
  CO_TRY(co_await file_->read(layout_.slot_offset(1), bytes.mutable_view()));
  const Slot b = decode_slot(layout_, identity_, bytes.view());
  adopt(a, b);
  co_return ok();
}

void ChunkFile::adopt(const Slot& a, const Slot& b) {
  const SlotChoice choice = choose_slot(a, b);
  next_generation_ = choice.next_generation;
  needs_sync_first_ = choice.needs_sync_first;
  for (const Slot* slot : {&a, &b}) {
    if (slot->state != SlotState::kInvalid) continue;
    // A torn flush looks like this too: it is no alarm by itself.
    metrics_.corrupt_slots_total.add();
    env_.logger.info("a slot of a chunk file is not valid", {{"chunk", identity_.chunk},
                                                             {"copyset", identity_.copyset},
                                                             {"slot", slot == &a ? "A" : "B"},
                                                             {"reason", slot->reason}});
  }
  if (choice.kind == SlotChoice::Kind::kTable) {
    table_ = choice.slot == 0 ? a.table : b.table;
  } else if (choice.kind == SlotChoice::Kind::kLost) {
    metrics_.lost_tables_total.add();
    env_.logger.error("the checksums of a chunk are gone: its blocks are refused until repaired",
                      {{"chunk", identity_.chunk},
                       {"copyset", identity_.copyset},
                       {"slot_a", a.reason},
                       {"slot_b", b.reason}});
    std::ranges::fill(table_, kLost);
  }
  CHECK(table_.size() == layout_.blocks_count());
}

void ChunkFile::check_range(uint64_t offset_bytes, uint64_t size_bytes) const {
  CHECK(is_block_aligned(offset_bytes) && is_block_aligned(size_bytes));
  CHECK(size_bytes > 0 && size_bytes <= layout_.chunk_bytes);
  CHECK(offset_bytes <= layout_.chunk_bytes - size_bytes);
}

std::string ChunkFile::name() const {
  return "chunk " + to_string(identity_.chunk) + " of copyset " + to_string(identity_.copyset);
}

// ---- changes

Status ChunkFile::write_now(uint64_t offset_bytes, ByteView data) {
  check_range(offset_bytes, data.size());
  const std::array<ByteView, 1> parts{data};
  TRY(file_->write_cached_now(layout_.data_offset() + offset_bytes, parts));
  Mark* mark = table_.data() + block_of(offset_bytes);
  for (size_t at = 0; at < data.size(); at += kBlockBytes) {
    *mark++ = mark_of(data.subspan(at, kBlockBytes));
  }
  return ok();
}

void ChunkFile::zero_now(uint64_t offset_bytes, uint64_t size_bytes) {
  check_range(offset_bytes, size_bytes);
  std::fill_n(table_.begin() + static_cast<ptrdiff_t>(block_of(offset_bytes)), block_of(size_bytes),
              kHole);
}

io::Task<Status> ChunkFile::flush() {
  CHECK(!is_flushing_, "one flush of a chunk at a time");
  is_flushing_ = true;
  const uint64_t generation = next_generation_;
  const size_t home = home_slot(generation);
  if (needs_sync_first_) {
    CO_TRY(co_await file_->sync_data());
    needs_sync_first_ = false;
  }
  // The table as of now: what is written from here on is in the log that stays.
  Buffer slot = env_.buffers.allocate(layout_.slot_bytes());
  encode_slot(layout_, identity_, generation, table_, slot.mutable_view());
  const std::array<ByteView, 1> parts{slot.view()};
  CO_TRY(co_await file_->write(layout_.slot_offset(home), parts, io::Durability::kCached));
  CO_TRY(co_await file_->sync_data());
  CO_TRY(co_await file_->write(layout_.slot_offset(1 - home), parts, io::Durability::kCached));
  next_generation_ = generation + 1;
  is_flushing_ = false;
  co_return ok();
}

// ---- reading

Status ChunkFile::refuse(size_t block, const std::string& why, uint32_t* corrupt_count) {
  if (corrupt_count != nullptr) {
    ++*corrupt_count;
    return ok();
  }
  return error(Errc::kCorrupt, name() + ": block " + std::to_string(block) + " at offset " +
                                   std::to_string(block * kBlockBytes) + " is corrupt: " + why +
                                   "; nothing was returned");
}

Status ChunkFile::load_block_now(size_t block, MutableByteView into, uint32_t* corrupt_count) {
  const Mark expected = table_[block];
  if (expected == kHole) {
    fill_zero(into);
    return ok();
  }
  if (expected == kLost) return refuse(block, "its checksum is lost", corrupt_count);
  TRY(file_->read_cached_now(layout_.block_offset(block), into));
  const Mark actual = mark_of(into);
  if (actual == expected) return ok();
  metrics_.corrupt_blocks_total.add();
  env_.logger.error("a block does not match its checksum", {{"chunk", identity_.chunk},
                                                            {"copyset", identity_.copyset},
                                                            {"block", block},
                                                            {"expected", hex(expected)},
                                                            {"actual", hex(actual)}});
  return refuse(block, "checksum " + hex(actual) + ", expected " + hex(expected), corrupt_count);
}

Status ChunkFile::load_blocks_now(size_t first, MutableByteView into, uint32_t* corrupt_count) {
  const size_t count = into.size() / kBlockBytes;
  for (size_t i = 0; i < count;) {
    size_t end = i;
    while (end < count && is_written(table_[first + end])) ++end;
    if (end > i + 1) {
      // A run in one call; a block that does not match is looked at again by itself.
      TRY(file_->read_cached_now(layout_.block_offset(first + i),
                                 into.subspan(i * kBlockBytes, (end - i) * kBlockBytes)));
      for (; i < end; ++i) {
        const MutableByteView block = into.subspan(i * kBlockBytes, kBlockBytes);
        if (mark_of(block) == table_[first + i]) continue;
        TRY(load_block_now(first + i, block, corrupt_count));
      }
      continue;
    }
    TRY(load_block_now(first + i, into.subspan(i * kBlockBytes, kBlockBytes), corrupt_count));
    ++i;
  }
  return ok();
}

io::Task<Status> ChunkFile::load_blocks(size_t first, MutableByteView into, uint32_t* corrupt_count,
                                        std::span<const Mark> have) {
  const bool is_short = into.size() <= kInlineReadBytesMax;
  if (is_short && have.empty()) co_return load_blocks_now(first, into, corrupt_count);
  size_t begin = 0;
  size_t end = into.size() / kBlockBytes;
  const auto is_needed = [&](size_t i) {
    return is_written(table_[first + i]) && !is_had(have, i, table_[first + i]);
  };
  while (begin < end && !is_needed(begin)) ++begin;
  while (end > begin && !is_needed(end - 1)) --end;
  if (end > begin) {
    const MutableByteView span = into.subspan(begin * kBlockBytes, (end - begin) * kBlockBytes);
    CO_TRY(co_await file_->read(layout_.block_offset(first + begin), span));
  }
  // The table may have changed meanwhile: what does not fit it now is read again, at once.
  for (size_t i = 0; i < into.size() / kBlockBytes; ++i) {
    const MutableByteView block = into.subspan(i * kBlockBytes, kBlockBytes);
    const bool was_read = i >= begin && i < end;
    const Mark mark = table_[first + i];
    if (is_had(have, i, mark)) continue;
    if (was_read && is_written(mark) && mark_of(block) == mark) continue;
    CO_TRY(load_block_now(first + i, block, corrupt_count));
  }
  co_return ok();
}

io::Task<Result<Buffer>> ChunkFile::read(uint64_t offset_bytes, uint64_t size_bytes) {
  check_range(offset_bytes, size_bytes);
  Buffer data = env_.buffers.allocate(size_bytes);
  CO_TRY(co_await load_blocks(block_of(offset_bytes), data.mutable_view(), nullptr));
  co_return data;
}

io::Task<Result<ChunkDigest>> ChunkFile::digest(bool read_data) {
  uint32_t corrupt_count = 0;
  if (read_data) {
    const uint64_t piece_bytes = std::min<uint64_t>(kDigestReadBytes, layout_.chunk_bytes);
    Buffer piece = env_.buffers.allocate(piece_bytes);
    for (uint64_t at = 0; at < layout_.chunk_bytes; at += piece_bytes) {
      CO_TRY(co_await load_blocks(block_of(at), piece.mutable_view(), &corrupt_count));
    }
  } else {
    corrupt_count = static_cast<uint32_t>(std::ranges::count(table_, kLost));
  }
  ChunkDigest digest;
  digest.crc32c = crc32c(std::as_bytes(std::span(table_)));
  digest.blocks_written_count = static_cast<uint32_t>(std::ranges::count_if(table_, is_written));
  digest.blocks_corrupt_count = corrupt_count;
  co_return digest;
}

io::Task<Result<std::vector<Mark>>> ChunkFile::verify(uint64_t offset_bytes, uint64_t size_bytes) {
  check_range(offset_bytes, size_bytes);
  const size_t first = block_of(offset_bytes);
  Buffer data = env_.buffers.allocate(size_bytes);
  uint32_t corrupt_count = 0;
  CO_TRY(co_await load_blocks(first, data.mutable_view(), &corrupt_count));
  const auto begin = table_.begin() + static_cast<ptrdiff_t>(first);
  std::vector<Mark> marks(begin, begin + static_cast<ptrdiff_t>(block_of(size_bytes)));
  for (size_t i = 0; i < marks.size() && corrupt_count > 0; ++i) {
    if (!is_written(marks[i])) continue;
    const ByteView block = data.view().subspan(i * kBlockBytes, kBlockBytes);
    if (mark_of(block) != marks[i]) marks[i] = kLost;
  }
  co_return marks;
}

io::Task<Result<ChunkImage>> ChunkFile::fetch(uint64_t offset_bytes, uint64_t size_bytes,
                                              std::vector<Mark> have) {
  check_range(offset_bytes, size_bytes);
  const size_t first = block_of(offset_bytes);
  Buffer data = env_.buffers.allocate(size_bytes);
  const MutableByteView bytes = data.mutable_view();
  CO_TRY(co_await load_blocks(first, bytes, nullptr, have));
  // Nothing runs between the end of the load and here: the data is that of the table.
  ChunkImage image;
  const auto begin = table_.begin() + static_cast<ptrdiff_t>(first);
  image.block_crcs.assign(begin, begin + static_cast<ptrdiff_t>(block_of(size_bytes)));
  size_t kept_bytes = 0;
  for (size_t i = 0; i < image.block_crcs.size(); ++i) {
    CHECK(image.block_crcs[i] != kLost, "a lost block is refused, never sent");
    if (image.block_crcs[i] == kHole || is_had(have, i, image.block_crcs[i])) continue;
    if (kept_bytes != i * kBlockBytes) {
      std::memmove(bytes.data() + kept_bytes, bytes.data() + i * kBlockBytes, kBlockBytes);
    }
    kept_bytes += kBlockBytes;
  }
  image.data = data.slice(0, kept_bytes);
  co_return image;
}

Status check_image(std::span<const Mark> marks, std::span<const Mark> have, ByteView data) {
  const auto is_sent = [&](size_t i) { return is_written(marks[i]) && !is_had(have, i, marks[i]); };
  size_t sent_count = 0;
  for (size_t i = 0; i < marks.size(); ++i) sent_count += is_sent(i) ? 1 : 0;
  const bool has_lost = std::ranges::find(marks, kLost) != marks.end();
  if (has_lost || sent_count * kBlockBytes != data.size()) {
    return error(Errc::kInvalidArgument, "a chunk's image has " + std::to_string(data.size()) +
                                             " bytes for " + std::to_string(sent_count) +
                                             " blocks; nothing was installed");
  }
  size_t at = 0;
  for (size_t i = 0; i < marks.size(); ++i) {
    if (!is_sent(i)) continue;
    if (mark_of(data.subspan(at, kBlockBytes)) != marks[i]) {
      return error(Errc::kCorrupt, "block " + std::to_string(i) +
                                       " of a chunk's image does not match its checksum; nothing "
                                       "was installed");
    }
    at += kBlockBytes;
  }
  return ok();
}

}  // namespace cairn::chunk
