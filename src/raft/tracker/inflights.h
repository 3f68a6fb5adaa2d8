/// Inflights: a sliding window over the append messages that a follower has not acknowledged.
///
/// Bounded in messages and, softly, in bytes: the message that crosses the byte limit is still let
/// in, so that one large message can always be sent. Memory grows with use up to the bound.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace cairn::raft {

class Inflights {
 public:
  Inflights() = default;
  /// `bytes_max` of 0 means no limit in bytes.
  Inflights(size_t messages_max, uint64_t bytes_max)
      : messages_max_(messages_max), bytes_max_(bytes_max) {}

  /// Notes a message whose last entry is `last` and whose payloads weigh `payload_bytes`.
  /// Only while !full(), with ascending `last`.
  void add(LogIndex last, uint64_t payload_bytes);
  /// The follower has everything up to `acknowledged`: drops the messages that this covers.
  void free_up_to(LogIndex acknowledged);
  void reset();

  bool full() const { return count_ == messages_max_ || (bytes_max_ != 0 && bytes_ >= bytes_max_); }
  size_t count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Message {
    LogIndex last;
    uint64_t payload_bytes = 0;
  };
  void grow();

  uint32_t start_ = 0;  ///< position of the oldest in ring_
  uint32_t count_ = 0;  ///< <= messages_max_
  uint64_t bytes_ = 0;  ///< the sum of the counted messages' payload_bytes
  size_t messages_max_ = 0;
  uint64_t bytes_max_ = 0;
  std::vector<Message> ring_;  ///< size() <= messages_max_
};

}  // namespace cairn::raft
