#include "chunkserver/background/scan.h"

#include "wire/methods.h"

namespace cairn::chunkserver {

namespace {

/// A replica that lags applies the entry within a few heartbeats, or is left out.
constexpr int kAsksMax = 20;
constexpr Duration kAskDelay = std::chrono::milliseconds(100);

}  // namespace

Scan::Scan(ServiceContext& context, rpc::Client& client, Options options)
    : context_(context),
      client_(client),
      options_(options),
      gate_(context.env().executor),
      wake_(context.env().executor),
      timer_(context.env().clock, [this] { wake_.set(); }),
      rate_(context.env().clock, options.bytes_per_second),
      scanned_chunks_(context.env().metrics.counter(
          "cairn_chunkserver_scanned_chunks_total",
          "Chunks whose replicas were compared by scans that this chunkserver led")),
      rotten_blocks_(context.env().metrics.counter("cairn_chunkserver_scan_rotten_blocks_total",
                                                   "Rotten blocks that scans found")),
      differing_blocks_(
          context.env().metrics.counter("cairn_chunkserver_scan_differing_blocks_total",
                                        "Blocks found to differ from the majority of replicas")),
      undecided_blocks_(context.env().metrics.counter(
          "cairn_chunkserver_scan_undecided_blocks_total",
          "Blocks that differ or have rotted, and of which no majority has a sound copy")) {}

void Scan::start() {
  context_.env().executor.spawn(run());
}

io::Task<void> Scan::stop() {
  timer_.disarm();
  wake_.set();
  co_await gate_.close();
}

io::Task<void> Scan::wait() {
  timer_.arm_after(options_.look_interval);
  co_await wake_.wait();
  wake_.reset();
}

io::Task<void> Scan::run() {
  auto inside = gate_.enter();
  while (inside && !gate_.is_closed()) {
    add_due();
    if (waiting_.empty()) {
      co_await wait();
      continue;
    }
    running_ = *waiting_.begin();
    waiting_.erase(waiting_.begin());
    co_await scan_copyset(running_);
    due_at_[running_] = context_.env().clock.now() + options_.interval;
    running_ = CopysetId();
  }
}

void Scan::add_due() {
  const Instant now = context_.env().clock.now();
  std::map<CopysetId, Instant> due_at;
  for (Copyset* copyset : context_.copysets()) {
    if (!copyset->node()->is_ready_leader()) continue;
    const CopysetId id = copyset->id();
    const auto known = due_at_.find(id);
    // Spread, so that a start is not followed by everything at once.
    const auto parts = static_cast<int64_t>(1 + id.value() % 64);
    const Instant first = now + options_.interval / 64 * parts;
    const Instant due = known != due_at_.end() ? known->second : first;
    due_at[id] = due;
    if (due <= now) waiting_.insert(id);
  }
  due_at_ = std::move(due_at);
  std::erase_if(results_, [&](const auto& entry) { return !due_at_.contains(entry.first); });
}

Result<size_t> Scan::request(CopysetId copyset) {
  if (!copyset.is_none()) {
    const PinnedCopyset found = TRY(context_.find_copyset(copyset));
    if (!found->node()->is_ready_leader()) {
      return error(Errc::kNotLeader, "copyset " + to_string(copyset) +
                                         " is scanned by its leader, which is another "
                                         "chunkserver; nothing was done");
    }
    waiting_.insert(copyset);
  } else {
    for (Copyset* each : context_.copysets()) {
      if (each->node()->is_ready_leader()) waiting_.insert(each->id());
    }
  }
  wake_.set();
  return waiting_.size() + (running_.is_none() ? 0 : 1);
}

wire::ScanStatusReply Scan::status() const {
  wire::ScanStatusReply reply;
  for (const auto& [id, result] : results_) {
    wire::ScanStatus* status = reply.add_scans();
    *status = result;
    status->set_is_waiting(waiting_.contains(id));
  }
  for (CopysetId id : waiting_) {
    if (results_.contains(id)) continue;
    wire::ScanStatus* status = reply.add_scans();
    status->set_copyset(id.value());
    status->set_is_waiting(true);
  }
  return reply;
}

io::Task<void> Scan::scan_copyset(CopysetId id) {
  auto chunks = context_.store().list(id);
  if (!chunks) {
    results_.erase(id);
    co_return;
  }
  wire::ScanStatus begun;
  begun.set_copyset(id.value());
  begun.set_is_running(true);
  begun.set_chunks_count(static_cast<uint32_t>(chunks->size()));
  results_[id] = begun;
  bool is_whole = true;
  for (ChunkId chunk : *chunks) {
    co_await rate_.wait();
    is_whole = !gate_.is_closed() && co_await scan_chunk(id, chunk);
    if (!is_whole) break;
    rate_.charge(context_.chunk_bytes());
    results_[id].set_chunks_done_count(results_[id].chunks_done_count() + 1);
  }
  wire::ScanStatus& result = results_[id];
  result.set_is_running(false);
  if (is_whole) result.set_finished_at_ns(context_.env().clock.wall_time_ns());
}

io::Task<bool> Scan::scan_chunk(CopysetId id, ChunkId chunk) {
  auto found = context_.find_copyset(id);
  if (!found) co_return false;
  const PinnedCopyset copyset = std::move(*found);
  const auto index = co_await copyset->propose_scan(chunk);
  if (!index) co_return false;
  const std::vector<NodeId> members = copyset->node()->status().members;
  std::vector<ScanTable> tables;
  for (NodeId member : members) {
    auto table = co_await table_of(&*copyset, member, chunk, *index);
    if (gate_.is_closed()) co_return false;
    if (table) {
      tables.push_back(std::move(*table));
    } else {
      results_[id].set_absent_replicas_count(results_[id].absent_replicas_count() + 1);
    }
  }
  ScanVerdict verdict = compare_tables(tables, members.size());
  note(id, chunk, verdict);
  for (ScanFinding& finding : verdict.findings) {
    co_await mend(&*copyset, chunk, std::move(finding));
    if (gate_.is_closed()) co_return false;
  }
  co_return true;
}

void Scan::note(CopysetId copyset, ChunkId chunk, const ScanVerdict& verdict) {
  scanned_chunks_.add();
  rotten_blocks_.add(verdict.rotten_count);
  differing_blocks_.add(verdict.differing_count);
  undecided_blocks_.add(verdict.undecided_count);
  wire::ScanStatus& result = results_[copyset];
  result.set_rotten_blocks_count(result.rotten_blocks_count() + verdict.rotten_count);
  result.set_differing_blocks_count(result.differing_blocks_count() + verdict.differing_count);
  result.set_undecided_blocks_count(result.undecided_blocks_count() + verdict.undecided_count);
  if (verdict.undecided_count > 0) {
    context_.env().logger.error(
        "a scan found blocks of which no majority of replicas has a sound copy: restore the volume "
        "from a snapshot, or write them again",
        {{"copyset", copyset}, {"chunk", chunk}, {"blocks", verdict.undecided_count}});
  }
}

io::Task<Result<ScanTable>> Scan::table_of(Copyset* copyset, NodeId node, ChunkId chunk,
                                           LogIndex index) {
  if (node.value() == context_.id().value()) {
    co_return co_await copyset->scan_table(chunk, index);
  }
  for (int asks = 1;; ++asks) {
    auto table = co_await ask(node, copyset->id(), chunk, index);
    if (table || asks == kAsksMax || gate_.is_closed()) co_return table;
    co_await context_.env().clock.sleep(kAskDelay);
    if (gate_.is_closed()) co_return error(Errc::kClosed, "stopping");
  }
}

io::Task<Result<ScanTable>> Scan::ask(NodeId node, CopysetId copyset, ChunkId chunk,
                                      LogIndex index) {
  const io::Address* address = context_.address_of(node);
  if (!address) co_return error(Errc::kUnavailable, "its address is not known");
  wire::ScanTableRequest request;
  request.set_copyset(copyset.value());
  request.set_chunk(chunk.value());
  request.set_index(index.value());
  auto answer = CO_TRY(co_await client_.call<wire::ScanTableReply>(
      *address, wire::Method::kScanTable, request, {}, options_.call_timeout));
  const auto& marks = answer.message.block_crc32c();
  const auto& rotten = answer.message.rotten_blocks();
  if (static_cast<uint64_t>(marks.size()) != context_.chunk_bytes() / kBlockBytes) {
    co_return error(Errc::kProtocol, "a table of another number of blocks than a chunk has");
  }
  co_return ScanTable{.node = node,
                      .marks = {marks.begin(), marks.end()},
                      .rotten = {rotten.begin(), rotten.end()}};
}

io::Task<void> Scan::mend(Copyset* copyset, ChunkId chunk, ScanFinding finding) {
  context_.env().logger.warn("a scan found blocks to be replaced",
                             {{"copyset", copyset->id()},
                              {"chunk", chunk},
                              {"chunkserver", finding.node},
                              {"blocks", finding.blocks.size()},
                              {"source", finding.source}});
  Status mended = ok();
  if (finding.node.value() == context_.id().value()) {
    mended = co_await copyset->replace_blocks(chunk, finding.blocks, finding.source);
    if (mended.code() == Errc::kIo) context_.report(mended.error());
  } else {
    mended = co_await tell(copyset->id(), chunk, finding);
  }
  if (!mended) {
    context_.env().logger.warn(
        "blocks were not replaced; the next scan tries again",
        {{"copyset", copyset->id()}, {"chunk", chunk}, {"why", mended.error().message()}});
  }
}

io::Task<Status> Scan::tell(CopysetId copyset, ChunkId chunk, const ScanFinding& finding) {
  const io::Address* address = context_.address_of(finding.node);
  if (!address) co_return error(Errc::kUnavailable, "its address is not known");
  wire::ReplaceBlocksRequest request;
  request.set_copyset(copyset.value());
  request.set_chunk(chunk.value());
  request.mutable_blocks()->Add(finding.blocks.begin(), finding.blocks.end());
  request.set_source_node(finding.source.value());
  CO_TRY(co_await client_.call<wire::ReplaceBlocksReply>(*address, wire::Method::kReplaceBlocks,
                                                         request, {}, options_.call_timeout));
  co_return ok();
}

}  // namespace cairn::chunkserver
