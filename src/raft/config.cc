#include "raft/config.h"

#include "raft/message.h"

namespace cairn::raft {

Result<Config> validated(Config config) {
  const auto invalid = [](const char* why) { return error(Errc::kInvalidArgument, why); };
  if (config.id.is_none()) return invalid("no member may have the number 0");
  if (is_local_target(config.id)) return invalid("the member's number is reserved");
  if (config.heartbeat_tick == 0) return invalid("heartbeat_tick must be at least 1");
  if (config.election_tick <= config.heartbeat_tick) {
    return invalid("election_tick must be greater than heartbeat_tick");
  }
  if (config.priority > kPriorityMax) return invalid("priority is above the best one");
  if (config.priority < kPriorityMax && !config.pre_vote) {
    return invalid("a priority below the best one needs pre_vote");
  }
  if (!config.storage) return invalid("storage is missing");
  if (!config.rng) return invalid("rng is missing");
  if (config.inflight_messages_max == 0) return invalid("inflight_messages_max must be at least 1");
  if (config.size_per_message_max == 0) return invalid("size_per_message_max must be at least 1");
  if (config.inflight_bytes_max != 0 && config.inflight_bytes_max < config.size_per_message_max) {
    return invalid("inflight_bytes_max must not be below size_per_message_max");
  }
  if (config.read_only_option == ReadOnlyOption::kLeaseBased && !config.check_quorum) {
    return invalid("reads by lease need check_quorum");
  }
  if (config.committed_size_per_ready_max == 0) {
    config.committed_size_per_ready_max = config.size_per_message_max;
  }
  if (config.uncommitted_entries_size_max == 0) {
    config.uncommitted_entries_size_max = std::numeric_limits<uint64_t>::max();
  }
  return config;
}

}  // namespace cairn::raft
