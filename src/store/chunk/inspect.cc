#include "store/chunk/inspect.h"

#include <cstdio>

#include "store/chunk/chunk_format.h"

namespace cairn::chunk {

namespace {

constexpr size_t kDepthMax = 2;  // copysets/, a copyset
constexpr std::string_view kChunkPrefix = "chunk-";

/// The chunk size whose file has so many bytes; 0: none.
uint32_t chunk_bytes_of(uint64_t file_bytes) {
  for (uint64_t bytes = kChunkBytesMin; bytes <= kChunkBytesMax; bytes *= 2) {
    const ChunkLayout layout{static_cast<uint32_t>(bytes)};
    if (layout.file_bytes() == file_bytes) return layout.chunk_bytes;
  }
  return 0;
}

std::string hex(uint32_t value) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

void report_slot(const std::string& path, const char* which, const Slot& slot,
                 const pool::InspectSink& sink) {
  if (slot.state != SlotState::kValid) {
    const char* state = slot.state == SlotState::kZero ? "zero" : "invalid";
    sink({"slot", {{"file", path}, {"slot", which}, {"state", state}, {"reason", slot.reason}}});
    return;
  }
  sink({"slot",
        {{"file", path},
         {"slot", which},
         {"state", "valid"},
         {"generation", slot.header.generation},
         {"copyset", slot.header.copyset},
         {"chunk", slot.header.chunk},
         {"table_crc32c", hex(slot.header.table_crc32c)}}});
}

/// What the blocks of one file turned out to be.
struct BlockCounts {
  uint64_t written = 0;
  uint64_t lost = 0;
  uint64_t corrupt = 0;
};

io::Task<Result<BlockCounts>> check_blocks(io::File& file, std::string path, ChunkLayout layout,
                                           std::vector<Mark> table, InspectOptions options,
                                           pool::InspectSink sink) {
  BlockCounts counts;
  Buffer block = Buffer::allocate(kBlockBytes);
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i] == kHole) continue;
    const char* state = "unread";
    if (table[i] == kLost) {
      ++counts.lost;
      state = "lost";
    } else {
      ++counts.written;
    }
    if (is_written(table[i]) && options.read_data) {
      const Status read = co_await file.read(layout.block_offset(i), block.mutable_view());
      const bool matches = read.ok() && mark_of(block.view()) == table[i];
      state = matches ? "good" : "corrupt";
      counts.corrupt += matches ? 0 : 1;
    }
    const bool is_bad = state == std::string_view("corrupt") || table[i] == kLost;
    if (!is_bad && !options.list_blocks) continue;
    sink({is_bad ? "problem" : "block",
          {{"file", path},
           {"block", i},
           {"offset_bytes", i * kBlockBytes},
           {"mark", hex(table[i])},
           {"state", state}}});
  }
  co_return counts;
}

}  // namespace

io::Task<Result<uint64_t>> inspect_chunk_file(io::Disk& disk, std::string path,
                                              InspectOptions options, pool::InspectSink sink) {
  io::OpenOptions how;
  how.read_only = true;
  const auto file = CO_TRY(co_await disk.open(path, how));
  const uint64_t file_bytes = CO_TRY(co_await file->size());
  if (options.chunk_bytes == 0) options.chunk_bytes = chunk_bytes_of(file_bytes);
  if (!is_valid_chunk_bytes(options.chunk_bytes)) {
    sink({"problem",
          {{"file", path},
           {"what", "no chunk has a file of " + std::to_string(file_bytes) + " bytes"}}});
    co_return 1;
  }
  const ChunkLayout layout{options.chunk_bytes};
  std::array<Slot, 2> slots;
  Buffer bytes = Buffer::allocate(layout.slot_bytes());
  for (size_t i = 0; i < slots.size(); ++i) {
    CO_TRY(co_await file->read(layout.slot_offset(i), bytes.mutable_view()));
    slots[i] = decode_slot(layout, std::nullopt, bytes.view());
    report_slot(path, i == 0 ? "A" : "B", slots[i], sink);
  }
  const SlotChoice choice = choose_slot(slots[0], slots[1]);
  std::vector<Mark> table(layout.blocks_count(), kHole);
  uint64_t problems_count = 0;
  if (choice.kind == SlotChoice::Kind::kTable) {
    table = slots[choice.slot].table;
  } else if (choice.kind == SlotChoice::Kind::kLost) {
    ++problems_count;
    sink({"problem", {{"file", path}, {"what", "both slots are invalid: the checksums are lost"}}});
  }
  const BlockCounts counts =
      CO_TRY(co_await check_blocks(*file, path, layout, std::move(table), options, sink));
  problems_count += counts.lost + counts.corrupt;
  sink({"chunk",
        {{"file", path},
         {"chunk_bytes", layout.chunk_bytes},
         {"is_flushed", choice.kind == SlotChoice::Kind::kTable},
         {"blocks_written_count", counts.written},
         {"blocks_lost_count", counts.lost},
         {"blocks_corrupt_count", counts.corrupt},
         {"problems_count", problems_count}}});
  co_return problems_count;
}

namespace {

io::Task<Result<uint64_t>> inspect_below(io::Disk& disk, std::string path, size_t depth,
                                         InspectOptions options, pool::InspectSink sink) {
  uint64_t problems_count = 0;
  const auto names = CO_TRY(co_await disk.list(path));
  for (std::string name : names) {
    if (name.ends_with('/') && depth < kDepthMax) {
      name.pop_back();
      problems_count +=
          CO_TRY(co_await inspect_below(disk, path + "/" + name, depth + 1, options, sink));
    } else if (name.starts_with(kChunkPrefix)) {
      problems_count += CO_TRY(co_await inspect_chunk_file(disk, path + "/" + name, options, sink));
    }
  }
  co_return problems_count;
}

}  // namespace

io::Task<Result<uint64_t>> inspect_chunk_directory(io::Disk& disk, std::string path,
                                                   InspectOptions options, pool::InspectSink sink) {
  return inspect_below(disk, std::move(path), 0, options, std::move(sink));
}

}  // namespace cairn::chunk
