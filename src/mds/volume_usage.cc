#include "mds/volume_usage.h"

#include "mds/copyset_caller.h"
#include "mds/copyset_round.h"
#include "mds/keys.h"
#include "mds/record.h"
#include "wire/chunk.pb.h"

namespace cairn::mds {

namespace {

constexpr size_t kSegmentsPerPage = 64;
/// Asked for in one round: what a volume of 1 TiB has.
constexpr size_t kChunksPerRoundMax = 65'536;
/// So that a copyset whose members hang is told of while the caller still waits for the answer.
constexpr LeaderTries kTries{.attempts_max = 3, .timeout = 1s};

class CountRound final : public CopysetRound {
 public:
  using CopysetRound::CopysetRound;

  void add(const wire::SegmentRecord& segment) {
    for (const auto& chunk : segment.chunks()) {
      auto& request = requests_[CopysetId(chunk.copyset())];
      request.set_copyset(chunk.copyset());
      request.add_chunks(chunk.chunk());
    }
    chunks_waiting_count_ += static_cast<size_t>(segment.chunks_size());
  }
  size_t chunks_waiting_count() const { return chunks_waiting_count_; }
  io::Task<Status> count_waiting() {
    std::vector<CopysetId> copysets;
    for (const auto& [copyset, request] : requests_) copysets.push_back(copyset);
    co_await visit_all(std::move(copysets));
    requests_.clear();
    chunks_waiting_count_ = 0;
    if (failure_) co_return *failure_;
    if (mds().is_stopping()) co_return error(Errc::kUnavailable, "this MDS is stopping; ask again");
    co_return ok();
  }
  uint64_t chunks_count() const { return chunks_count_; }

 private:
  io::Task<void> visit(CopysetId copyset) override {
    if (failure_) co_return;  // the sum is lost anyway
    const auto counted = co_await call_leader<wire::CountChunksReply>(
        mds(), copyset, wire::Method::kCountChunks, std::move(requests_.at(copyset)), kTries);
    if (counted.ok()) {
      chunks_count_ += counted->chunks_count();
    } else if (!failure_) {
      failure_ = counted.error();
    }
  }

  std::map<CopysetId, wire::CountChunksRequest> requests_;
  size_t chunks_waiting_count_ = 0;
  uint64_t chunks_count_ = 0;
  std::optional<Error> failure_;  ///< the first
};

}  // namespace

io::Task<Result<uint64_t>> count_chunks(Context& mds, VolumeId volume) {
  CountRound round(mds);
  std::string after;
  bool is_last = false;
  while (!is_last) {
    const auto page =
        CO_TRY(co_await mds.store.scan(keys::segments_of(volume), kSegmentsPerPage, after));
    for (const auto& pair : page) {
      round.add(CO_TRY(decode_record<wire::SegmentRecord>(pair.key, pair.value)));
    }
    is_last = page.size() < kSegmentsPerPage;
    if (!page.empty()) after = page.back().key;
    if (is_last || round.chunks_waiting_count() >= kChunksPerRoundMax) {
      CO_TRY(co_await round.count_waiting());
    }
  }
  co_return round.chunks_count();
}

}  // namespace cairn::mds
