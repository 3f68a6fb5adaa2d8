#include "kv/command.h"

#include "base/crc32c.h"
#include "base/units.h"
#include "wire/meta.pb.h"

namespace cairn::kv {

namespace {

constexpr uint32_t kCommandVersion = 1;
/// Above it the batch is the payload: a head is kept in memory for as long as its entry.
constexpr size_t kBatchInHeadBytesMax = 4 * kKiB;

struct AppliedMark {
  char magic[4];
  uint32_t crc32c;  ///< of the index
  uint64_t index;
};
static_assert(sizeof(AppliedMark) == 16);
constexpr char kAppliedMagic[4] = {'K', 'V', 'A', '1'};

void to_wire(const WriteBatch& batch, wire::MetaBatch* into) {
  for (const auto& put : batch.puts) {
    auto* pair = into->add_puts();
    pair->set_key(put.key);
    pair->set_value(put.value);
  }
  for (const auto& key : batch.deletes) into->add_deletes(key);
  for (const auto& precondition : batch.preconditions) {
    auto* wanted = into->add_preconditions();
    wanted->set_key(precondition.key);
    if (precondition.expected) wanted->set_expected(*precondition.expected);
  }
}

WriteBatch from_wire(wire::MetaBatch* from) {
  WriteBatch batch;
  for (auto& put : *from->mutable_puts()) {
    batch.put(std::move(*put.mutable_key()), std::move(*put.mutable_value()));
  }
  for (auto& key : *from->mutable_deletes()) batch.remove(std::move(key));
  for (auto& wanted : *from->mutable_preconditions()) {
    std::optional<std::string> expected;
    if (wanted.has_expected()) expected = std::move(*wanted.mutable_expected());
    batch.preconditions.push_back({std::move(*wanted.mutable_key()), std::move(expected)});
  }
  return batch;
}

Error unreadable() {
  return error(Errc::kCorrupt, "an entry of the metadata's log cannot be read");
}

}  // namespace

EncodedBatch encode_command(const WriteBatch& batch, BufferPool& buffers) {
  wire::MetaCommand command;
  command.set_version(kCommandVersion);
  to_wire(batch, command.mutable_batch());
  EncodedBatch encoded;
  const size_t batch_bytes = command.batch().ByteSizeLong();
  if (batch_bytes > kBatchInHeadBytesMax) {
    encoded.payload = buffers.allocate_zeroed(round_up(batch_bytes, kBlockBytes));
    const auto into = encoded.payload.mutable_view();
    CHECK(command.batch().SerializeToArray(into.data(), static_cast<int>(batch_bytes)));
    command.clear_batch();
    command.set_payload_bytes(static_cast<uint32_t>(batch_bytes));
  }
  encoded.head = Buffer::copy_of(command.SerializeAsString());
  return encoded;
}

Result<WriteBatch> decode_command(ByteView head, ByteView payload) {
  wire::MetaCommand command;
  if (!command.ParseFromArray(head.data(), static_cast<int>(head.size()))) return unreadable();
  if (command.version() != kCommandVersion) {
    return error(Errc::kUnsupported, "an entry of the metadata's log has version " +
                                         std::to_string(command.version()) +
                                         "; this program knows " + std::to_string(kCommandVersion) +
                                         ": run a newer one");
  }
  if (command.payload_bytes() > payload.size()) return unreadable();
  if (command.payload_bytes() > 0 &&
      !command.mutable_batch()->ParseFromArray(payload.data(),
                                               static_cast<int>(command.payload_bytes()))) {
    return unreadable();
  }
  return from_wire(command.mutable_batch());
}

std::string encode_applied(uint64_t index) {
  AppliedMark mark{};
  std::memcpy(mark.magic, kAppliedMagic, sizeof(kAppliedMagic));
  mark.index = index;
  mark.crc32c = crc32c(bytes_of(mark.index));
  return std::string(as_text(bytes_of(mark)));
}

Result<uint64_t> decode_applied(std::string_view mark) {
  if (mark.empty()) return uint64_t{0};
  if (mark.size() == sizeof(AppliedMark)) {
    const auto read = load<AppliedMark>(as_bytes(mark));
    if (std::memcmp(read.magic, kAppliedMagic, sizeof(kAppliedMagic)) == 0 &&
        read.crc32c == crc32c(bytes_of(read.index))) {
      return read.index;
    }
  }
  return error(Errc::kCorrupt, "the metadata store's mark of what was applied cannot be read");
}

}  // namespace cairn::kv
