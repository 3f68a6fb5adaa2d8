#include "placement/shares.h"

#include <algorithm>
#include <map>

namespace cairn::placement {

std::vector<double> divide(const std::vector<Part>& parts, double total) {
  const auto taken = [](const Part& part, double level) {
    return std::clamp(level * part.weight, part.low, part.high);
  };
  double level_max = 0;
  for (const auto& part : parts) {
    CHECK(part.weight >= 0 && part.low >= 0 && part.low <= part.high);
    if (part.weight > 0) level_max = std::max(level_max, part.high / part.weight);
  }
  // The sum grows with the level, as water in basins does: find the level at which it is the total.
  double low = 0, high = level_max;
  for (int step = 0; step < 100; ++step) {
    const double middle = (low + high) / 2;
    double sum = 0;
    for (const auto& part : parts) sum += taken(part, middle);
    (sum < total ? low : high) = middle;
  }
  std::vector<double> shares;
  shares.reserve(parts.size());
  for (const auto& part : parts) shares.push_back(taken(part, high));
  return shares;
}

uint32_t pairs_at_least(uint32_t replicas, uint32_t domains) {
  CHECK(domains > 0);
  const uint32_t each = replicas / domains;
  const uint32_t more = replicas % domains;
  return more * (each + 1) * each / 2 + (domains - more) * each * (each - 1) / 2;
}

namespace {

/// A server or a zone with what is in it.
struct Group {
  std::vector<size_t> members;  ///< positions in `usable`, or in the list of servers
  double weight = 0;
  uint32_t places = 0;  ///< replicas of one copyset that it can hold
};

/// The most replicas of one copyset that each group is to hold when they are spread evenly; all
/// that it can hold where even spreading does not place them all.
std::vector<uint32_t> places_when_even(const std::vector<Group>& groups, uint32_t replicas) {
  CHECK(!groups.empty());
  const auto count = static_cast<uint32_t>(groups.size());
  const uint32_t even = (replicas + count - 1) / count;
  std::vector<uint32_t> places;
  uint32_t sum = 0;
  for (const auto& group : groups) {
    places.push_back(std::min(even, group.places));
    sum += places.back();
  }
  if (sum >= replicas) return places;
  for (size_t i = 0; i < groups.size(); ++i) places[i] = std::min(replicas, groups[i].places);
  return places;
}

std::vector<double> divide_among(const std::vector<Group>& groups,
                                 const std::vector<uint32_t>& places, double copysets, double total,
                                 uint32_t at_least) {
  std::vector<Part> parts;
  for (size_t i = 0; i < groups.size(); ++i) {
    parts.push_back({.weight = groups[i].weight,
                     .low = std::min(at_least, places[i]) * copysets,
                     .high = places[i] * copysets});
  }
  return divide(parts, total);
}

}  // namespace

std::vector<double> replica_shares(const Cluster& cluster, const std::vector<Slot>& usable,
                                   uint64_t copysets_count, uint32_t replicas_count) {
  std::vector<double> shares(usable.size(), 0);
  if (usable.empty()) return shares;
  std::map<std::pair<ZoneId, ServerId>, Group> servers_by_id;
  for (size_t i = 0; i < usable.size(); ++i) {
    const Chunkserver& chunkserver = cluster.chunkserver(usable[i]);
    Group& server = servers_by_id[{chunkserver.zone, chunkserver.server}];
    server.members.push_back(i);
    server.weight += static_cast<double>(chunkserver.capacity_bytes);
    ++server.places;
  }
  std::vector<Group> servers, zones;
  ZoneId zone;
  for (auto& [id, server] : servers_by_id) {
    if (zones.empty() || id.first != zone) zones.emplace_back();
    zone = id.first;
    zones.back().members.push_back(servers.size());
    zones.back().weight += server.weight;
    zones.back().places += server.places;
    servers.push_back(std::move(server));
  }
  // With servers enough, a zone of few servers does not hold more replicas than it has servers.
  if (servers.size() >= replicas_count) {
    uint32_t sum = 0;
    const uint32_t even = (replicas_count + static_cast<uint32_t>(zones.size()) - 1) /
                          static_cast<uint32_t>(zones.size());
    for (const auto& group : zones) {
      sum += std::min(even, static_cast<uint32_t>(group.members.size()));
    }
    for (auto& group : zones) {
      if (sum >= replicas_count) {
        group.places = std::min(group.places, static_cast<uint32_t>(group.members.size()));
      }
    }
  }
  const double copysets = static_cast<double>(copysets_count);
  const auto zone_places = places_when_even(zones, replicas_count);
  const auto zone_shares = divide_among(zones, zone_places, copysets, copysets * replicas_count,
                                        replicas_count / static_cast<uint32_t>(zones.size()));
  for (size_t z = 0; z < zones.size(); ++z) {
    std::vector<Group> within;
    for (size_t s : zones[z].members) within.push_back(servers[s]);
    const auto places = places_when_even(within, std::max(1u, zone_places[z]));
    const auto server_shares = divide_among(within, places, copysets, zone_shares[z], 0);
    for (size_t s = 0; s < within.size(); ++s) {
      std::vector<Part> parts;
      for (size_t i : within[s].members) {
        const auto capacity = static_cast<double>(cluster.chunkserver(usable[i]).capacity_bytes);
        parts.push_back({.weight = capacity, .low = 0, .high = copysets});
      }
      const auto own = divide(parts, server_shares[s]);
      for (size_t i = 0; i < own.size(); ++i) shares[within[s].members[i]] = own[i];
    }
  }
  return shares;
}

}  // namespace cairn::placement
