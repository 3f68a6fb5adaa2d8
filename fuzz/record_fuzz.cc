/// The small records that are on disks and in logs: whatever the bytes, a decoder ends with an
/// error or with a record that is encoded again to one that decodes to the same.
///
/// Input: a byte that chooses the record, a byte of flags (1: make the checksum right first), then
/// the record.
/// Links: cairn_chunkserver cairn_kv_server
#include <algorithm>
#include <vector>

#include "base/crc32c.h"
#include "chunkserver/identity.h"
#include "kv/command.h"
#include "multiraft/codec.h"
#include "raft/confchange/conf_change.h"
#include "store/chunk/chunk_format.h"
#include "store/pool/pool_meta.h"
#include "store/wal/incarnation.h"
#include "wire/chunk_op.h"

namespace cairn {
namespace {

/// Of a record of `size_bytes` whose checksum is at `at`, computed with that field zero.
void repair_inside(std::vector<std::byte>& record, size_t size_bytes, size_t at) {
  if (record.size() != size_bytes) return;
  const MutableByteView field = MutableByteView(record).subspan(at, sizeof(uint32_t));
  std::ranges::fill(field, std::byte{0});
  const uint32_t crc = crc32c(record);
  std::ranges::copy(bytes_of(crc), field.begin());
}
/// Of a record that ends in the checksum of all before.
void repair_end(std::vector<std::byte>& record) {
  if (record.size() < sizeof(uint32_t)) return;
  const MutableByteView all = record;
  const uint32_t crc = crc32c(all.first(all.size() - sizeof(uint32_t)));
  std::ranges::copy(bytes_of(crc), all.last(sizeof(uint32_t)).begin());
}

void run_chunk_op(std::vector<std::byte>& record, bool repairs) {
  if (repairs) repair_inside(record, 64, 4);
  const auto op = wire::decode_chunk_op(record);
  if (op) CHECK(*wire::decode_chunk_op(wire::encode(*op).view()) == *op);
}
void run_identity(std::vector<std::byte>& record, bool repairs) {
  if (repairs) repair_end(record);
  const auto identity = chunkserver::decode_identity(record);
  if (!identity) return;
  CHECK(*chunkserver::decode_identity(chunkserver::encode(*identity).view()) == *identity);
}
void run_incarnation(std::vector<std::byte>& record, bool repairs) {
  if (repairs) repair_end(record);
  const auto known = wal::decode_incarnation(record);
  if (known) CHECK(*wal::decode_incarnation(wal::encode_incarnation(*known).view()) == *known);
}
void run_pool_meta(std::vector<std::byte>& record, bool repairs) {
  if (repairs) repair_inside(record, sizeof(pool::PoolMeta), offsetof(pool::PoolMeta, crc32c));
  const auto meta = pool::decode_pool_meta(record);
  if (!meta) return;
  const Buffer again = pool::encode_pool_meta(meta->chunk_file_bytes);
  CHECK(pool::decode_pool_meta(again.view())->chunk_file_bytes == meta->chunk_file_bytes);
}
void run_slot(std::vector<std::byte>& record, bool repairs) {
  const chunk::ChunkLayout layout{.chunk_bytes = chunk::kChunkBytesMin};
  record.resize(layout.slot_bytes());
  const MutableByteView all = record;
  if (repairs) {
    auto header = load<chunk::SlotHeader>(record);
    header.table_crc32c = crc32c(all.subspan(chunk::kSlotHeaderBytes, layout.table_bytes()));
    header.crc32c = 0;
    header.crc32c = crc32c(bytes_of(header));
    std::ranges::copy(bytes_of(header), all.begin());
  }
  const chunk::Slot slot = chunk::decode_slot(layout, std::nullopt, record);
  if (slot.state != chunk::SlotState::kValid) return;
  const chunk::ChunkIdentity identity{CopysetId(slot.header.copyset), ChunkId(slot.header.chunk)};
  std::vector<std::byte> again(layout.slot_bytes());
  chunk::encode_slot(layout, identity, slot.header.generation, slot.table, again);
  CHECK(chunk::decode_slot(layout, identity, again).table == slot.table);
}
void run_mark(std::vector<std::byte>& record) {
  const auto mark = multiraft::decode_mark(record);
  if (!mark || !*mark) return;
  CHECK(multiraft::decode_mark(multiraft::encode_mark(**mark).view()).ok());
}
void run_group_state(std::vector<std::byte>& record) {
  const auto state = multiraft::decode_group_state(record);
  if (!state) return;
  const auto again = multiraft::decode_group_state(multiraft::encode(*state).view());
  CHECK(again.ok() && again->epoch == state->epoch && again->file == state->file);
}
void run_conf_change(std::vector<std::byte>& record) {
  const auto change = raft::decode_conf_change(record);
  if (change) CHECK(raft::decode_conf_change(raft::encode(*change).view())->equals(*change));
}
/// The first two bytes say how long the head is; the payload is the rest.
void run_command(ByteView record) {
  if (record.size() < 2) return;
  const size_t wanted = load<uint16_t>(record.first(2));
  const ByteView rest = record.subspan(2);
  const size_t head_bytes = std::min(wanted, rest.size());
  const auto batch = kv::decode_command(rest.first(head_bytes), rest.subspan(head_bytes));
  if (!batch) return;
  BufferPool buffers;
  const kv::EncodedBatch again = kv::encode_command(*batch, buffers);
  CHECK(kv::decode_command(again.head.view(), again.payload.view()).ok());
}

void run(ByteView input) {
  if (input.size() < 2) return;
  const bool repairs = (std::to_integer<int>(input[1]) & 1) != 0;
  std::vector<std::byte> record(input.begin() + 2, input.end());
  switch (std::to_integer<int>(input[0]) % 9) {
    case 0:
      return run_chunk_op(record, repairs);
    case 1:
      return run_identity(record, repairs);
    case 2:
      return run_incarnation(record, repairs);
    case 3:
      return run_pool_meta(record, repairs);
    case 4:
      return run_slot(record, repairs);
    case 5:
      return run_mark(record);
    case 6:
      return run_group_state(record);
    case 7:
      return run_conf_change(record);
    default:
      return run_command(record);
  }
}

}  // namespace
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
