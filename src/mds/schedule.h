/// Schedule: what the schedulers have to say to a person, and how each operator fares.
///
/// Heard or counted since this process began; nothing here decides what is true of a copyset.
/// Threads: one reactor.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mds/cluster_state.h"
#include "placement/planners.h"

namespace cairn::mds {

/// How an operator fares, as its copyset's leader tells.
struct OperatorWatch {
  bool is_begun = false;
  uint64_t copy_done_bytes = 0;
  uint64_t copy_total_bytes = 0;  ///< 0: nothing is copied now
  uint32_t failures_count = 0;
  std::string last_error;
  Instant not_before;  ///< it is not told again earlier

  /// 0 to 1.
  double part_done() const {
    if (copy_total_bytes == 0) return 0;
    return std::min(1.0,
                    static_cast<double>(copy_done_bytes) / static_cast<double>(copy_total_bytes));
  }
};

struct EndedOperator {
  placement::Operator op;
  std::string outcome;  ///< "done", or why it ended otherwise
  Instant at;
};

/// How fast copies are made, from samples of how many have been: the present pace, not the mean
/// since the beginning.
class Pace {
 public:
  /// `copies`: made so far, those under way by their parts.
  void sample(double copies, Instant now);
  /// Time for so many more; nullopt: nothing has moved lately.
  std::optional<Duration> time_for(double copies) const;

  static constexpr Duration kWindow = 60s;
  static constexpr size_t kSamplesMax = 128;

 private:
  struct Sample {
    double copies = 0;
    Instant at;
  };
  std::deque<Sample> samples_;
};

struct Schedule {
  std::map<OperatorId, OperatorWatch> watches;
  std::deque<EndedOperator> ended;  ///< the newest first; at most kEndedMax
  std::vector<placement::Note> notes;
  std::vector<placement::PoolProgress> progress;
  uint64_t copies_ended = 0;
  Pace pace;

  static constexpr size_t kEndedMax = 200;

  void note_ended(placement::Operator op, std::string outcome, bool is_done, Instant now);
  /// Takes a round's result, and a sample of the pace.
  void take_round(placement::RoundResult result, const placement::Ledger& ledger, Instant now);

  wire::ScheduleStatus status(const placement::Ledger& ledger) const;
  wire::OperatorInfo info(const placement::Operator& op, const ClusterState& state,
                          Instant now) const;

 private:
  double parts_done(const placement::Ledger& ledger) const;
  double copies_left(const placement::Ledger& ledger) const;
};

}  // namespace cairn::mds
