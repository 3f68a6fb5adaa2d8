#include "store/wal/scan.h"

namespace cairn::wal {

std::optional<uint64_t> SegmentScan::first_batch() const {
  if (header) return header->first_batch;
  // Without its header only a batch that stands right behind it is surely the first.
  if (!batches.empty() && batches.front().offset_bytes == kBlockBytes) {
    return batches.front().view.header.number;
  }
  return std::nullopt;
}

uint64_t token_in(ByteView bytes, uint64_t sequence) {
  const auto header = decode_segment_header(bytes, sequence);
  if (header.ok()) return header->token;
  for (uint64_t at = kBlockBytes; at + kBlockBytes <= bytes.size(); at += kBlockBytes) {
    const ByteView rest = bytes.subspan(at);
    if (!may_be_batch(rest, sequence)) continue;
    const auto batch = decode_batch(rest, sequence, 0);
    if (batch.ok()) return batch->header.token;
  }
  return 0;
}

Result<SegmentScan> scan_segment(ByteView bytes, uint64_t sequence, uint64_t token,
                                 bool verify_payloads) {
  SegmentScan scan{.sequence = sequence, .file_bytes = bytes.size()};
  auto header = decode_segment_header(bytes, sequence);
  if (header.code() == Errc::kUnsupported) return header.error().within(segment_name(sequence));
  if (header.ok() && header->token != token) {
    return error(Errc::kCorrupt, segment_name(sequence) + " belongs to another store (token " +
                                     std::to_string(header->token) + ", expected " +
                                     std::to_string(token) + "); nothing was changed");
  }
  if (header.ok()) {
    scan.header = *header;
  } else {
    scan.header_problem = header.error().message();
  }
  uint64_t at = kBlockBytes;
  while (at < bytes.size()) {
    const ByteView rest = bytes.subspan(at);
    if (!may_be_batch(rest, sequence)) {
      at += kBlockBytes;
      continue;
    }
    auto batch = decode_batch(rest, sequence, token);
    if (batch.code() == Errc::kUnsupported) return batch.error().within(segment_name(sequence));
    if (!batch.ok()) {
      at += kBlockBytes;
      continue;
    }
    ScannedBatch found{.offset_bytes = at, .view = std::move(*batch)};
    for (size_t i = 0; verify_payloads && i < found.view.records.size(); ++i) {
      if (!payload_is_sound(found.view.records[i], rest)) found.damaged.push_back(i);
    }
    at = found.end_bytes();
    scan.batches.push_back(std::move(found));
  }
  return scan;
}

}  // namespace cairn::wal
