#include "store/pool/inspect.h"

#include <cstdio>

#include "base/units.h"
#include "store/pool/pool_meta.h"

namespace cairn::pool {

namespace {

constexpr uint64_t kPieceBytes = kMiB;

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

InspectRecord problem(const std::string& path, const std::string& what) {
  return {"problem", {{"file", path}, {"what", what}}};
}

/// What is wrong with a ready file; empty: nothing.
io::Task<Result<std::string>> fault_of_ready(io::Disk& disk, std::string path, uint64_t bytes,
                                             bool read_data) {
  io::OpenOptions how;
  how.read_only = true;
  const auto file = CO_TRY(co_await disk.open(path, how));
  const uint64_t actual_bytes = CO_TRY(co_await file->size());
  if (bytes != 0 && actual_bytes != bytes) {
    co_return "has " + std::to_string(actual_bytes) + " bytes instead of " + std::to_string(bytes);
  }
  if (!read_data) co_return std::string();
  Buffer piece = Buffer::allocate(kPieceBytes);
  for (uint64_t at = 0; at < actual_bytes; at += kPieceBytes) {
    const MutableByteView into =
        piece.mutable_view().first(std::min<uint64_t>(kPieceBytes, actual_bytes - at));
    CO_TRY(co_await file->read(at, into));
    const auto dirty = std::ranges::find_if(into, [](std::byte b) { return b != std::byte{0}; });
    if (dirty != into.end()) {
      co_return "is not zero at offset " + std::to_string(at + (dirty - into.begin()));
    }
  }
  co_return std::string();
}

}  // namespace

std::string to_text(const InspectRecord& record) {
  std::string text = record.kind;
  for (const InspectField& field : record.fields) {
    const bool needs_quotes = field.value.empty() || field.value.find(' ') != std::string::npos;
    text += ' ' + field.key + '=' + (needs_quotes ? quoted(field.value) : field.value);
  }
  return text;
}

std::string to_json(const InspectRecord& record) {
  std::string text = "{\"kind\":" + quoted(record.kind);
  for (const InspectField& field : record.fields) {
    text += "," + quoted(field.key) + ":" + (field.is_text ? quoted(field.value) : field.value);
  }
  return text + "}";
}

io::Task<Result<uint64_t>> inspect(io::Disk& disk, std::string directory, bool read_data,
                                   InspectSink sink) {
  const auto names = CO_TRY(co_await disk.list(directory));
  uint64_t problems_count = 0;
  uint64_t chunk_file_bytes = 0;
  const std::string meta_path = directory + "/" + kPoolMetaName;
  const auto content = co_await io::read_file(disk, meta_path, sizeof(PoolMeta));
  const auto meta =
      content.ok() ? decode_pool_meta(content->view()) : Result<PoolMeta>(content.error());
  if (meta.ok()) {
    chunk_file_bytes = meta->chunk_file_bytes;
    sink({"pool", {{"version", meta->version}, {"chunk_file_bytes", chunk_file_bytes}}});
  } else {
    ++problems_count;
    sink(problem(meta_path, meta.error().describe()));
  }
  uint64_t ready_count = 0;
  uint64_t formatting_count = 0;
  for (const std::string& name : names) {
    const PoolName parsed = parse_pool_name(name);
    if (parsed.kind == PoolName::Kind::kFormatting) ++formatting_count;
    if (parsed.kind != PoolName::Kind::kReady) continue;
    ++ready_count;
    const std::string path = directory + "/" + name;
    const auto fault = co_await fault_of_ready(disk, path, chunk_file_bytes, read_data);
    const std::string what = fault.ok() ? *fault : fault.error().describe();
    if (what.empty()) continue;
    ++problems_count;
    sink(problem(path, what));
  }
  sink({"files",
        {{"ready_count", ready_count},
         {"formatting_count", formatting_count},
         {"problems_count", problems_count}}});
  co_return problems_count;
}

}  // namespace cairn::pool
