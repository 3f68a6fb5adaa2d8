// A replica's part in a scan: its marks noted in apply, its blocks read, and replaced when told.
#include <algorithm>

#include "chunkserver/copyset.h"

namespace cairn::chunkserver {

io::Task<Result<LogIndex>> Copyset::propose_scan(ChunkId chunk) {
  const wire::ChunkOp op{.kind = wire::ChunkOpKind::kScan, .chunk = chunk};
  co_return co_await node_->apply(wire::encode(op), Buffer());
}

io::Task<Status> Copyset::apply_scan(ChunkId chunk, LogIndex index) {
  // What was copied here may be newer than this place of the log; what is missing is older.
  if (index < settled_at_ || !is_complete()) co_return ok();
  auto marks = CO_TRY(co_await store_.table(id_, chunk));
  noted_tables_.push_back({.index = index, .chunk = chunk, .marks = std::move(marks)});
  if (noted_tables_.size() > kNotedTablesMax) noted_tables_.pop_front();
  co_return ok();
}

io::Task<Result<ScanTable>> Copyset::scan_table(ChunkId chunk, LogIndex index) {
  const auto noted = std::ranges::find_if(noted_tables_, [&](const NotedTable& each) {
    return each.index == index && each.chunk == chunk;
  });
  if (noted == noted_tables_.end()) {
    co_return error(Errc::kUnavailable, "this replica has no table of chunk " + to_string(chunk) +
                                            " as of entry " + to_string(index) +
                                            ": it lags, or is being caught up");
  }
  ScanTable table{.node = self_, .marks = noted->marks, .rotten = {}};
  for (uint32_t offset = 0; offset < chunk_bytes_; offset += piece_bytes_) {
    const auto marks = CO_TRY(co_await store_.verify(id_, chunk, offset, piece_bytes_));
    for (size_t i = 0; i < marks.size(); ++i) {
      const auto block = static_cast<uint32_t>(offset / kBlockBytes + i);
      if (marks[i] == kLostMark) table.rotten.push_back(block);
    }
  }
  co_return table;
}

io::Task<Status> Copyset::replace_blocks(ChunkId chunk, std::vector<uint32_t> blocks,
                                         NodeId source) {
  const bool fits = std::ranges::is_sorted(blocks) && !blocks.empty() &&
                    blocks.back() < chunk_bytes_ / kBlockBytes && source != self_;
  if (!fits) {
    co_return error(Errc::kInvalidArgument, "blocks of another replica, in order, are replaced");
  }
  const auto piece_blocks = static_cast<uint32_t>(piece_bytes_ / kBlockBytes);
  for (size_t i = 0; i < blocks.size();) {
    size_t end = i + 1;
    while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1 && end - i < piece_blocks) {
      ++end;
    }
    const Range range{.chunk = chunk,
                      .offset_bytes = blocks[i] * static_cast<uint32_t>(kBlockBytes),
                      .size_bytes = static_cast<uint32_t>((end - i) * kBlockBytes)};
    const auto copied = co_await copy_range(range, CopyWhat::kReplace, source);
    if (!copied) co_return copied.error();
    i = end;
  }
  co_return ok();
}

}  // namespace cairn::chunkserver
