/// What a majority of voters has acknowledged, and how a vote among them stands.
///
/// Pure functions of a set and a lookup. The lookup is called once for each voter: it returns an
/// optional, empty where nothing is known of that voter.
/// Source: Raft paper, sections 5.2 to 5.4.
#pragma once

#include <array>
#include <concepts>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "raft/quorum/node_set.h"

namespace cairn::raft {

enum class VoteResult : uint8_t {
  kPending,  ///< neither won nor lost: some votes are missing
  kLost,     ///< no outcome of the missing votes reaches a majority
  kWon,
};
std::string_view to_string(VoteResult result);

template <typename F>
concept AckedLookup = requires(F f, NodeId id) {
  { f(id) } -> std::convertible_to<std::optional<LogIndex>>;
};
template <typename F>
concept VoteLookup = requires(F f, NodeId id) {
  { f(id) } -> std::convertible_to<std::optional<bool>>;
};

/// What an empty set of voters "commits": it never holds back the other half of a joint quorum.
inline constexpr LogIndex kEverything{std::numeric_limits<uint64_t>::max()};

/// The number of voters that decide.
inline size_t majority_count(const NodeSet& voters) {
  return voters.count() / 2 + 1;
}

/// The highest index that a majority of `voters` has acknowledged; kEverything if there are none.
template <AckedLookup F>
LogIndex majority_committed(const NodeSet& voters, F&& acked) {
  constexpr size_t kInline = 9;  // no allocation for any sensible group
  const size_t count = voters.count();
  if (count == 0) return kEverything;
  std::array<LogIndex, kInline> few;
  std::vector<LogIndex> many;
  LogIndex* indexes = few.data();
  if (count > kInline) {
    many.resize(count);
    indexes = many.data();
  }
  size_t filled = 0;
  for (NodeId id : voters) indexes[filled++] = acked(id).value_or(LogIndex(0));
  CHECK(filled == count);
  // In ascending order, a majority stands at this position or above it.
  LogIndex* decisive = indexes + (count - majority_count(voters));
  std::nth_element(indexes, decisive, indexes + count);
  return *decisive;
}

/// How the vote stands. An empty set has won: see kEverything.
template <VoteLookup F>
VoteResult majority_vote(const NodeSet& voters, F&& vote) {
  if (voters.empty()) return VoteResult::kWon;
  size_t granted_count = 0;
  size_t missing_count = 0;
  for (NodeId id : voters) {
    const std::optional<bool> answer = vote(id);
    if (!answer) {
      ++missing_count;
    } else if (*answer) {
      ++granted_count;
    }
  }
  const size_t needed = majority_count(voters);
  CHECK(granted_count + missing_count <= voters.count());
  if (granted_count >= needed) return VoteResult::kWon;
  return granted_count + missing_count >= needed ? VoteResult::kPending : VoteResult::kLost;
}

/// A table for a person: each voter's index, with a bar as long as the number of voters below it.
std::string describe_quorum(const NodeSet& voters,
                            const std::function<std::optional<LogIndex>(NodeId)>& acked);
/// "∞" for kEverything.
std::string describe_index(LogIndex index);

}  // namespace cairn::raft
