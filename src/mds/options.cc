#include "mds/options.h"

#include "mds/validate.h"
#include "placement/copyset_plan.h"

namespace cairn::mds {

namespace {

Error refuse(std::string text) {
  return error(Errc::kInvalidArgument, std::move(text));
}

/// A segment's chunks travel in one reply and one record.
constexpr uint64_t kChunksPerSegmentMax = 4096;

Status check_pool(const PoolOptions& pool) {
  TRY(check_label("the pool's name", pool.name));
  if (pool.chunk_bytes < 64 * kKiB || pool.chunk_bytes > kGiB ||
      !is_block_aligned(pool.chunk_bytes)) {
    return refuse("chunk_bytes is between 64 KiB and 1 GiB, a multiple of 4096, not " +
                  std::to_string(pool.chunk_bytes));
  }
  if (pool.segment_bytes == 0 || pool.segment_bytes % pool.chunk_bytes != 0 ||
      pool.segment_bytes / pool.chunk_bytes > kChunksPerSegmentMax) {
    return refuse("segment_bytes is a multiple of chunk_bytes (" +
                  std::to_string(pool.chunk_bytes) + "), at most " +
                  std::to_string(kChunksPerSegmentMax) + " times it, not " +
                  std::to_string(pool.segment_bytes));
  }
  if (pool.replicas_count < 1 || pool.replicas_count > placement::kReplicasMax) {
    return refuse("replicas_count is between 1 and " + std::to_string(placement::kReplicasMax) +
                  ", not " + std::to_string(pool.replicas_count));
  }
  if (pool.copysets_per_chunkserver < 1 || pool.copysets_per_chunkserver > 10'000) {
    return refuse("copysets_per_chunkserver is between 1 and 10000, not " +
                  std::to_string(pool.copysets_per_chunkserver));
  }
  if (pool.chunkservers_min < pool.replicas_count) {
    return refuse("chunkservers_min (" + std::to_string(pool.chunkservers_min) +
                  ") is at least replicas_count (" + std::to_string(pool.replicas_count) + ")");
  }
  return ok();
}

Status check_schedule(const ScheduleOptions& schedule) {
  if (schedule.interval <= Duration::zero())
    return refuse("the schedulers' interval is above zero");
  const placement::LedgerLimits& ledger = schedule.ledger;
  if (ledger.copies_per_chunkserver == 0 || ledger.copies_per_server == 0 ||
      ledger.copies_in_cluster == 0 || ledger.transfers_per_chunkserver == 0 ||
      ledger.transfers_in_cluster == 0 || schedule.failures_max == 0) {
    return refuse(
        "limits on copies, transfers and failures are above zero: with none, nothing "
        "would ever be repaired");
  }
  if (!(ledger.low_priority_part >= 0 && ledger.low_priority_part <= 1)) {
    return refuse("the part of the copies that balancing may take is between 0 and 1");
  }
  const placement::PlannerLimits& planner = schedule.planner;
  if (!(planner.spread_max > 0) || !(planner.lost_part_max >= 0)) {
    return refuse("spread_max is above zero and lost_part_max is not below it");
  }
  if (planner.timeouts.copy_ms == 0 || planner.timeouts.remove_ms == 0 ||
      planner.timeouts.transfer_ms == 0) {
    return refuse("operators' timeouts are above zero");
  }
  return ok();
}

}  // namespace

Status check(const Options& options) {
  TRY(check_label("cluster_name", options.cluster_name));
  TRY(check_pool(options.pool));
  if (options.heartbeat_interval <= Duration::zero() ||
      options.unstable_after < 2 * options.heartbeat_interval) {
    return refuse("heartbeat_interval is above zero and unstable_after at least twice as long");
  }
  if (options.offline_after < options.unstable_after) {
    return refuse("offline_after is at least unstable_after");
  }
  if (options.leader_silent_max < 2 * options.heartbeat_interval) {
    return refuse("leader_silent_max is at least twice heartbeat_interval");
  }
  if (!(options.fill.fill_max > 0 && options.fill.fill_max <= 1)) {
    return refuse("fill_max is a fraction above 0 and at most 1");
  }
  TRY(check_schedule(options.schedule));
  if (options.limits.chunkservers_max > placement::kPlanChunkserversMax) {
    return refuse("chunkservers_max is at most " + std::to_string(placement::kPlanChunkserversMax));
  }
  if (options.leader_call_timeout <= Duration::zero() ||
      options.retry_delay_min <= Duration::zero() ||
      options.retry_delay_max < options.retry_delay_min) {
    return refuse(
        "leader_call_timeout and retry_delay_min are above zero, retry_delay_max is not "
        "below retry_delay_min");
  }
  if (options.session_lease < 100ms || options.session_forget_after < 2 * options.session_lease) {
    return refuse(
        "session_lease is at least 100 ms and session_forget_after at least twice as long");
  }
  if (options.deleted_volume_keep < Duration::zero() ||
      options.deleted_volume_keep > 365 * 86'400s) {
    return refuse("deleted_volume_keep is between 0 (no recycle bin) and one year");
  }
  return ok();
}

}  // namespace cairn::mds
