/// ElectionWatch: looks at every replica while a cluster runs and holds election safety against
/// it: a term of a group has one leader, ever.
/// Threads: one.
#pragma once

#include <map>
#include <string>

#include "base/ids.h"
#include "sim/cluster/cluster.h"

namespace cairn::sim {

class ElectionWatch {
 public:
  ElectionWatch(World& world, Cluster& cluster);
  ~ElectionWatch();
  ElectionWatch(const ElectionWatch&) = delete;
  ElectionWatch& operator=(const ElectionWatch&) = delete;

  /// Looks now as well: a leadership may be about to end before the next look.
  void look();

  /// The first violation; empty: none.
  const std::string& violation() const { return violation_; }
  /// How many leaderships were seen.
  size_t leaderships_count() const { return leaders_.size(); }
  /// For how long some group had two running leaders at once, of different terms: legal, and where
  /// a read of what is old would come from.
  Duration overlap() const { return overlap_; }

 private:
  void look_again();
  void note(GroupId group, Term term, const std::string& leader);

  static constexpr Duration kInterval = 10ms;

  World& world_;
  Cluster& cluster_;
  EventId next_ = 0;
  std::map<std::pair<GroupId, Term>, std::string> leaders_;
  std::string violation_;
  Duration overlap_{};
};

}  // namespace cairn::sim
