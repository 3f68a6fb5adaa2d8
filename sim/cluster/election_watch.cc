#include "sim/cluster/election_watch.h"

#include <set>

namespace cairn::sim {

ElectionWatch::ElectionWatch(World& world, Cluster& cluster) : world_(world), cluster_(cluster) {
  look_again();
}

ElectionWatch::~ElectionWatch() {
  world_.cancel(next_);
}

void ElectionWatch::look() {
  std::set<GroupId> led;
  for (auto& chunkserver : cluster_.chunkservers()) {
    multiraft::Host* raft = chunkserver->is_up() ? chunkserver->raft() : nullptr;
    if (!raft || !chunkserver->has_started()) continue;
    for (const auto& [group, node] : raft->nodes()) {
      if (!node->is_leader()) continue;
      note(group, node->status().term, chunkserver->host().name());
      if (chunkserver->host().is_paused()) continue;
      if (!led.insert(group).second) overlap_ += kInterval;
    }
  }
}

void ElectionWatch::look_again() {
  look();
  next_ = world_.after(kInterval, [this] { look_again(); });
}

void ElectionWatch::note(GroupId group, Term term, const std::string& leader) {
  const auto [seen, is_new] = leaders_.try_emplace({group, term}, leader);
  if (is_new || seen->second == leader || !violation_.empty()) return;
  violation_ = "two leaders in term " + to_string(term) + " of copyset " + to_string(group) + ": " +
               seen->second + " and " + leader;
}

}  // namespace cairn::sim
