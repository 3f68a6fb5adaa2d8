/// Seeds of record_fuzz: a sound record of each kind.
/// Links: cairn_chunkserver cairn_kv_server
#include <vector>

#include "chunkserver/identity.h"
#include "fuzz/seeds.h"
#include "kv/command.h"
#include "multiraft/codec.h"
#include "raft/confchange/conf_change.h"
#include "store/chunk/chunk_format.h"
#include "store/pool/pool_meta.h"
#include "store/wal/incarnation.h"
#include "wire/chunk_op.h"

namespace cairn {
namespace {

void write_record(const std::string& directory, const std::string& name, uint8_t kind,
                  ByteView record) {
  std::vector<std::byte> input{std::byte{kind}, std::byte{1}};
  input.insert(input.end(), record.begin(), record.end());
  fuzz::write_seed(directory, name, input);
}

void write_raft_records(const std::string& directory) {
  raft::Snapshot snapshot;
  snapshot.metadata.conf_state.voters = {NodeId(1), NodeId(2), NodeId(3)};
  snapshot.metadata.conf_state.learners = {NodeId(4)};
  snapshot.metadata.index = LogIndex(100);
  snapshot.metadata.term = Term(7);
  write_record(directory, "mark", 5, multiraft::encode_mark(snapshot).view());

  multiraft::GroupState state{.epoch = Epoch(3), .machine = Buffer::copy_of(as_bytes("machine"))};
  write_record(directory, "group-state", 6, multiraft::encode(state).view());
  state.file = {.index = LogIndex(9), .size_bytes = 4096, .crc = 77};
  write_record(directory, "group-state-file", 6, multiraft::encode(state).view());

  const auto changes = raft::parse_conf_changes("v1 v2 l3 r4");
  raft::ConfChangeV2 change;
  change.changes = *changes;
  write_record(directory, "conf-change", 7, raft::encode(change).view());
}

void write_command(const std::string& directory) {
  kv::WriteBatch batch;
  batch.put("a key", "its value");
  batch.remove("another");
  BufferPool buffers;
  const kv::EncodedBatch command = kv::encode_command(batch, buffers);
  const auto head_bytes = static_cast<uint16_t>(command.head.size_bytes());
  std::vector<std::byte> record;
  for (const ByteView part : {bytes_of(head_bytes), command.head.view(), command.payload.view()}) {
    record.insert(record.end(), part.begin(), part.end());
  }
  write_record(directory, "command", 8, record);
}

void write_all(const std::string& directory) {
  const wire::ChunkOp op{.chunk = ChunkId(5),
                         .volume = VolumeId(6),
                         .fence = Fence(1),
                         .offset_bytes = 8192,
                         .size_bytes = 4096,
                         .client = 7,
                         .sequence = 8};
  write_record(directory, "chunk-op", 0, wire::encode(op).view());
  const chunkserver::Identity identity{.token = {std::byte{1}}, .id = ChunkserverId(2)};
  write_record(directory, "identity", 1, chunkserver::encode(identity).view());
  write_record(directory, "incarnation", 2,
               wal::encode_incarnation({.token = 1, .owner = 2}).view());
  write_record(directory, "pool-meta", 3, pool::encode_pool_meta(chunk::kChunkBytesMin).view());

  const chunk::ChunkLayout layout{.chunk_bytes = chunk::kChunkBytesMin};
  std::vector<chunk::Mark> table(layout.blocks_count(), chunk::kHole);
  table[1] = 0x12345678;
  std::vector<std::byte> slot(layout.slot_bytes());
  chunk::encode_slot(layout, {CopysetId(1), ChunkId(2)}, 3, table, slot);
  write_record(directory, "slot", 4, slot);
  write_raft_records(directory);
  write_command(directory);
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: record_seeds DIRECTORY\n");
    return 2;
  }
  cairn::write_all(argv[1]);
}
