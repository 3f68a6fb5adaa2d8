//// Seeds of the log's fuzzers: small logs of two segments with records of every kind.
#pragma once

#include "base/crc32c.h"
#include "fuzz/seeds.h"
#include "store/wal/format.h"

namespace cairn::wal::seeds {

class Log {
 public:
  explicit Log(uint8_t flags) : bytes_{static_cast<std::byte>(flags)} { begin_segment(); }

  void next_segment() {
    piece_length(0xffff);
    ++sequence_;
    begin_segment();
  }
  void batch(const std::vector<Record>& records) {
    BatchHeader header{.sequence = sequence_,
                       .token = 77,
                       .number = number_,
                       .previous_hash = hash_,
                       .durable_up_to = number_ - 1,
                       .oldest_sequence = 1,
                       .descriptor_bytes = kBlockBytes};
    ++number_;
    std::vector<const Record*> pointers;
    for (const Record& record : records) pointers.push_back(&record);
    std::vector<std::byte> descriptor(kBlockBytes);
    header = encode_descriptor(header, pointers, descriptor);
    hash_ = hash_of(header);
    piece(descriptor);
    for (const Record& record : records) {
      if (!record.payload.empty()) piece(record.payload.view());
    }
  }
  ByteView bytes() const { return bytes_; }

 private:
  void begin_segment() {
    std::vector<std::byte> block(kBlockBytes);
    encode_segment_header({.sequence = sequence_,
                           .token = 77,
                           .previous_sequence = sequence_ - 1,
                           .first_batch = number_,
                           .previous_hash = hash_,
                           .segment_bytes = kSegmentBytesMin},
                          block);
    piece(block);
  }
  void piece_length(uint16_t length) {
    const ByteView bytes = bytes_of(length);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void piece(ByteView bytes) {
    piece_length(static_cast<uint16_t>(bytes.size()));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::byte> bytes_;
  uint64_t sequence_ = 1;
  uint64_t number_ = 1;
  uint64_t hash_ = 0;
};

inline Record record(RecordKind kind, uint64_t group, uint64_t index, std::string_view head = {},
                     size_t payload_bytes = 0) {
  Record made{.header = {.kind = kind,
                         .head_bytes = static_cast<uint32_t>(head.size()),
                         .group = group,
                         .index = index,
                         .term = 1,
                         .payload_bytes = static_cast<uint32_t>(payload_bytes)},
              .head = Buffer::copy_of(head),
              .payload = Buffer::allocate(payload_bytes)};
  std::ranges::fill(made.payload.mutable_view(), std::byte{0x5a});
  made.header.payload_crc = crc32c(made.payload.view());
  return made;
}

inline void write_all(const std::string& directory) {
  for (const uint8_t flags : {0, 1}) {
    Log log(flags);
    log.batch({record(RecordKind::kHardState, 1, 0), record(RecordKind::kEntry, 1, 1, "head", 4096),
               record(RecordKind::kEntry, 2, 1, "x")});
    log.batch({record(RecordKind::kEntry, 1, 2, "again"), record(RecordKind::kSnapshot, 1, 1, "m"),
               record(RecordKind::kQuarantine, 2, 0, "why")});
    log.next_segment();
    log.batch({record(RecordKind::kMovedEntry, 1, 2, "again"), record(RecordKind::kKnownGap, 0, 3),
               record(RecordKind::kRemoveGroup, 2, 0)});
    log.batch({});
    fuzz::write_seed(directory, "log-" + std::to_string(flags), log.bytes());
  }
}

inline int run(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  write_all(argv[1]);
  return 0;
}

}  // namespace cairn::wal::seeds
