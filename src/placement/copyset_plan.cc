#include "placement/copyset_plan.h"

#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

namespace cairn::placement {

namespace {

/// Domains of up to so many members are looked at as a whole; of larger ones, a sample.
constexpr size_t kLookAtAllMax = 64;
constexpr size_t kSampleCount = 24;
constexpr size_t kSampleTriesMax = 512;

using ServerKey = std::pair<std::string, std::string>;

/// Chunkservers that must not meet in a copyset.
struct Domain {
  std::string zone;
  std::vector<size_t> members;  ///< positions in the topology
  double weight = 0;            ///< the members' capacity
};

std::string domain_name(const ChunkserverSpec& spec, Isolation isolation) {
  switch (isolation) {
    case Isolation::kZone:
      return spec.zone;
    case Isolation::kServer:
      return spec.zone + '\0' + spec.server;
    case Isolation::kChunkserver:
      return std::to_string(spec.id.value());
  }
  CHECK(false, "an unknown isolation");
}

std::vector<Domain> domains_of(const std::vector<ChunkserverSpec>& chunkservers,
                               Isolation isolation) {
  std::map<std::string, Domain> by_name;
  for (size_t i = 0; i < chunkservers.size(); ++i) {
    Domain& domain = by_name[domain_name(chunkservers[i], isolation)];
    domain.zone = chunkservers[i].zone;
    domain.members.push_back(i);
    domain.weight += static_cast<double>(chunkservers[i].capacity_bytes);
  }
  std::vector<Domain> domains;
  for (auto& [name, domain] : by_name) domains.push_back(std::move(domain));
  return domains;
}

/// Divides `total` in proportion to the weights with nobody above `cap`: what a capped one cannot
/// take goes to the rest. The parts are whole numbers that differ by less than one from the share.
std::vector<uint64_t> apportion(const std::vector<double>& weights, uint64_t total, uint64_t cap) {
  CHECK(!weights.empty() && total <= cap * weights.size());
  std::vector<double> shares(weights.size(), 0);
  std::vector<bool> capped(weights.size(), false);
  for (size_t round = 0; round <= weights.size(); ++round) {  // each round caps one or ends
    double open_weight = 0;
    double open_total = static_cast<double>(total);
    for (size_t i = 0; i < weights.size(); ++i) {
      if (capped[i]) {
        open_total -= static_cast<double>(cap);
      } else {
        open_weight += weights[i];
      }
    }
    bool changed = false;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (capped[i]) continue;
      shares[i] = open_total * weights[i] / open_weight;
      if (shares[i] > static_cast<double>(cap)) {
        capped[i] = changed = true;
        shares[i] = static_cast<double>(cap);
      }
    }
    if (!changed) break;
  }
  std::vector<uint64_t> parts(weights.size());
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  uint64_t given = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    parts[i] = std::min(cap, static_cast<uint64_t>(shares[i]));
    given += parts[i];
  }
  const auto fraction = [&](size_t i) { return shares[i] - static_cast<double>(parts[i]); };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(-fraction(a), a) < std::pair(-fraction(b), b);
  });
  // Rounding down loses less than one each, so one pass gives it all back; floating point may have
  // left one more, hence the loop.
  for (size_t at = 0; given < total; at = (at + 1) % order.size()) {
    if (parts[order[at]] >= cap) continue;
    ++parts[order[at]];
    ++given;
  }
  CHECK(given == total);
  return parts;
}

/// One of `candidates`, each as likely as its weight; a weight of zero never wins.
size_t draw(const std::vector<size_t>& candidates, const std::vector<uint64_t>& weights, Rng& rng) {
  uint64_t sum = 0;
  for (size_t candidate : candidates) sum += weights[candidate];
  uint64_t ticket = rng.below(sum);
  for (size_t candidate : candidates) {
    if (ticket < weights[candidate]) return candidate;
    ticket -= weights[candidate];
  }
  CHECK(false, "the ticket lies within the sum");
}

/// One draw of a whole plan. The quotas are met exactly, because a domain that has as many places
/// left as there are copysets to go is taken without asking chance:
/// Invariants: the domains' places left sum to replicas * copysets left, none above copysets left.
class Drawing {
 public:
  Drawing(const std::vector<ChunkserverSpec>& chunkservers, const std::vector<Domain>& domains,
          uint64_t copysets_count, uint32_t replicas_count, Rng& rng)
      : chunkservers_(chunkservers),
        domains_(domains),
        copysets_left_(copysets_count),
        replicas_count_(replicas_count),
        rng_(rng),
        places_left_(chunkservers.size(), 0),
        met_(chunkservers.size()) {
    std::vector<double> weights;
    for (const auto& domain : domains) weights.push_back(domain.weight);
    domain_places_left_ = apportion(weights, copysets_count * replicas_count, copysets_count);
    for (size_t d = 0; d < domains.size(); ++d) {
      std::vector<double> member_weights;
      for (size_t member : domains[d].members) {
        member_weights.push_back(static_cast<double>(chunkservers[member].capacity_bytes));
      }
      const auto parts = apportion(member_weights, domain_places_left_[d], copysets_count);
      for (size_t i = 0; i < parts.size(); ++i) places_left_[domains[d].members[i]] = parts[i];
    }
    places_ = places_left_;
  }

  std::vector<CopysetMembers> run() {
    std::vector<CopysetMembers> copysets;
    while (copysets_left_ > 0) {
      check_invariants();
      copysets.push_back(next_copyset());
      --copysets_left_;
    }
    return copysets;
  }
  /// Copysets that the chunkserver at a position was to be in, and is.
  uint64_t places(size_t position) const { return places_[position]; }

 private:
  void check_invariants() const {
    uint64_t sum = 0;
    for (uint64_t left : domain_places_left_) {
      CHECK(left <= copysets_left_);
      sum += left;
    }
    CHECK(sum == replicas_count_ * copysets_left_);
  }

  std::vector<size_t> choose_domains() {
    std::vector<size_t> chosen;
    std::vector<bool> taken(domains_.size(), false);
    std::map<std::string, uint32_t> zone_uses;
    const auto take = [&](size_t d) {
      chosen.push_back(d);
      taken[d] = true;
      ++zone_uses[domains_[d].zone];
    };
    for (size_t d = 0; d < domains_.size(); ++d) {
      if (domain_places_left_[d] == copysets_left_) take(d);
    }
    while (chosen.size() < replicas_count_) {
      std::vector<size_t> candidates;
      uint32_t uses_min = UINT32_MAX;
      for (size_t d = 0; d < domains_.size(); ++d) {
        if (taken[d] || domain_places_left_[d] == 0) continue;
        const uint32_t uses = zone_uses[domains_[d].zone];
        if (uses < uses_min) candidates.clear();
        uses_min = std::min(uses_min, uses);
        if (uses == uses_min) candidates.push_back(d);
      }
      take(draw(candidates, domain_places_left_, rng_));
    }
    return chosen;
  }

  /// Members of `domain` with a place left: all of them, or of a large domain some, each as likely
  /// as its places left. Looking at all would make a plan of many disks quadratic.
  std::vector<size_t> members_to_look_at(const Domain& domain) {
    std::vector<size_t> members;
    if (domain.members.size() > kLookAtAllMax) {
      uint64_t places_max = 0;
      for (size_t at = 0; at < kSampleCount; ++at) {
        places_max = std::max(places_max, places_left_[any_of(domain)]);
      }
      // One with more places than the sample's most is merely taken as that: the quotas hold
      // anyway.
      for (size_t i = 0; places_max > 0 && i < kSampleTriesMax; ++i) {
        const size_t member = any_of(domain);
        if (places_left_[member] <= rng_.below(places_max)) continue;
        members.push_back(member);
        if (members.size() == kSampleCount) return members;
      }
      members.clear();  // nearly all are full: the few that are left are found by looking
    }
    for (size_t member : domain.members) {
      if (places_left_[member] > 0) members.push_back(member);
    }
    return members;
  }
  size_t any_of(const Domain& domain) { return domain.members[rng_.below(domain.members.size())]; }

  /// A member of `domain` with a place left that has met those chosen so far the least often.
  size_t choose_member(const Domain& domain, const std::vector<size_t>& chosen) {
    std::vector<size_t> candidates;
    uint64_t meetings_min = UINT64_MAX;
    for (size_t member : members_to_look_at(domain)) {
      uint64_t meetings = 0;
      for (size_t other : chosen) {
        const auto met = met_[member].find(other);
        if (met != met_[member].end()) meetings += met->second;
      }
      if (meetings < meetings_min) candidates.clear();
      meetings_min = std::min(meetings_min, meetings);
      if (meetings == meetings_min) candidates.push_back(member);
    }
    return draw(candidates, places_left_, rng_);
  }

  CopysetMembers next_copyset() {
    std::vector<size_t> chosen;
    for (size_t d : choose_domains()) {
      chosen.push_back(choose_member(domains_[d], chosen));
      --domain_places_left_[d];
      --places_left_[chosen.back()];
    }
    CHECK(chosen.size() == replicas_count_);
    // The order of members says who is asked first: it must not favour a domain.
    for (size_t i = chosen.size() - 1; i > 0; --i) std::swap(chosen[i], chosen[rng_.below(i + 1)]);
    CopysetMembers members;
    for (size_t position : chosen) {
      members.push_back(chunkservers_[position].id);
      for (size_t other : chosen) {
        if (other != position) ++met_[position][other];
      }
    }
    return members;
  }

  const std::vector<ChunkserverSpec>& chunkservers_;
  const std::vector<Domain>& domains_;
  uint64_t copysets_left_;
  const uint32_t replicas_count_;
  Rng& rng_;
  std::vector<uint64_t> domain_places_left_;
  std::vector<uint64_t> places_left_;
  std::vector<uint64_t> places_;
  std::vector<std::unordered_map<size_t, uint64_t>> met_;  ///< copysets shared, by position
};

Status check_input(const std::vector<ChunkserverSpec>& chunkservers,
                   const CopysetPlanLimits& limits) {
  const auto refuse = [](std::string text) {
    return error(Errc::kInvalidArgument, std::move(text));
  };
  if (limits.replicas_count < 1 || limits.replicas_count > kReplicasMax) {
    return refuse("replicas are between 1 and " + std::to_string(kReplicasMax) + ", not " +
                  std::to_string(limits.replicas_count));
  }
  if (limits.copysets_per_chunkserver == 0)
    return refuse("copysets per chunkserver must be at least 1");
  if (chunkservers.size() < limits.replicas_count) {
    return refuse(std::to_string(limits.replicas_count) + " replicas need as many chunkservers; " +
                  std::to_string(chunkservers.size()) + " are there: register more");
  }
  if (chunkservers.size() > kPlanChunkserversMax) {
    return refuse("more than " + std::to_string(kPlanChunkserversMax) + " chunkservers in a plan");
  }
  std::set<ChunkserverId> seen;
  for (const auto& spec : chunkservers) {
    if (!seen.insert(spec.id).second) {
      return refuse("chunkserver " + to_string(spec.id) + " is in the topology twice");
    }
    if (spec.capacity_bytes == 0) {
      return refuse("chunkserver " + to_string(spec.id) + " has no capacity");
    }
  }
  return ok();
}

/// The first chunkserver that meets too few others, if any.
std::optional<std::string> scatter_shortfall(const std::vector<ChunkserverSpec>& chunkservers,
                                             const std::vector<Domain>& domains,
                                             const std::vector<CopysetMembers>& copysets,
                                             const CopysetPlanLimits& limits,
                                             const Drawing& drawing) {
  const auto widths = scatter_widths(chunkservers, copysets);
  for (const auto& domain : domains) {
    for (size_t position : domain.members) {
      const uint64_t others = chunkservers.size() - domain.members.size();
      const uint64_t meetings = drawing.places(position) * (limits.replicas_count - 1);
      const uint64_t wanted = std::min<uint64_t>({limits.scatter_width_min, others, meetings});
      if (widths[position] < wanted) {
        return "chunkserver " + to_string(chunkservers[position].id) + " shares copysets with " +
               std::to_string(widths[position]) + " others instead of " + std::to_string(wanted);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Isolation isolation_of(const std::vector<ChunkserverSpec>& chunkservers, uint32_t replicas_count) {
  std::set<std::string> zones;
  std::set<ServerKey> servers;
  for (const auto& spec : chunkservers) {
    zones.insert(spec.zone);
    servers.insert({spec.zone, spec.server});
  }
  if (zones.size() >= replicas_count) return Isolation::kZone;
  if (servers.size() >= replicas_count) return Isolation::kServer;
  return Isolation::kChunkserver;
}

std::vector<uint32_t> scatter_widths(const std::vector<ChunkserverSpec>& chunkservers,
                                     const std::vector<CopysetMembers>& copysets) {
  std::map<ChunkserverId, std::set<ChunkserverId>> met;
  for (const auto& members : copysets) {
    for (ChunkserverId one : members) {
      for (ChunkserverId other : members) {
        if (one != other) met[one].insert(other);
      }
    }
  }
  std::vector<uint32_t> widths;
  for (const auto& spec : chunkservers)
    widths.push_back(static_cast<uint32_t>(met[spec.id].size()));
  return widths;
}

Result<std::vector<CopysetMembers>> plan_copysets(const std::vector<ChunkserverSpec>& chunkservers,
                                                  const CopysetPlanLimits& limits, Rng& rng) {
  TRY(check_input(chunkservers, limits));
  const auto domains = domains_of(chunkservers, isolation_of(chunkservers, limits.replicas_count));
  const uint64_t copysets_count = std::max<uint64_t>(
      1, chunkservers.size() * limits.copysets_per_chunkserver / limits.replicas_count);
  std::string shortfall;
  for (uint32_t attempt = 0; attempt < kAttemptsMax; ++attempt) {
    Drawing drawing(chunkservers, domains, copysets_count, limits.replicas_count, rng);
    auto copysets = drawing.run();
    const auto found = scatter_shortfall(chunkservers, domains, copysets, limits, drawing);
    if (!found) return copysets;
    shortfall = *found;
  }
  return error(Errc::kUnavailable,
               "no plan of copysets reaches the scatter width of " +
                   std::to_string(limits.scatter_width_min) + ": " + shortfall +
                   "; raise copysets_per_chunkserver or lower scatter_width_min");
}

}  // namespace cairn::placement
