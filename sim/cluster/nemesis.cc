#include "sim/cluster/nemesis.h"

namespace cairn::sim {

Nemesis::Nemesis(World& world, Cluster& cluster, std::vector<Host*> clients, FaultRates rates)
    : world_(world),
      cluster_(cluster),
      clients_(std::move(clients)),
      rates_(rates),
      strikes_(world),
      rng_(strikes_.rng()) {}

void Nemesis::log(const std::string& what) {
  world_.logger("nemesis").info(what);
}

void Nemesis::schedule(Duration mean, void (Nemesis::*strike)()) {
  strikes_.every(mean, [this, strike] { (this->*strike)(); });
}

std::vector<ServerNode*> Nemesis::leaders() {
  std::vector<ServerNode*> leading;
  for (auto& server : cluster_.chunkservers()) {
    if (!server->has_started() || !server->raft()) continue;
    const auto nodes = server->raft()->nodes();
    const bool leads = std::any_of(nodes.begin(), nodes.end(),
                                   [](const auto& entry) { return entry.second->is_leader(); });
    if (leads) leading.push_back(server.get());
  }
  return leading;
}

ServerNode& Nemesis::pick_server() {
  if (rng_.chance(rates_.leaders_share)) {
    const auto leading = leaders();
    if (!leading.empty()) return *leading[rng_.below(leading.size())];
  }
  auto servers = cluster_.servers();
  const size_t first = rates_.mds_too ? 0 : cluster_.mds().size();
  return *servers[rng_.between(first, servers.size() - 1)];
}

std::vector<Host*> Nemesis::all_hosts() {
  std::vector<Host*> hosts = clients_;
  for (ServerNode* server : cluster_.servers()) hosts.push_back(&server->host());
  return hosts;
}

void Nemesis::begin() {
  LinkModel model;
  model.spike_chance = rates_.spike_chance;
  world_.fabric().set_model(model);
  world_.fabric().set_frame_faults(rates_.frames);
  schedule(rates_.power_loss, &Nemesis::lose_power);
  schedule(rates_.kill, &Nemesis::kill);
  schedule(rates_.blackout, &Nemesis::black_out);
  schedule(rates_.ambush, &Nemesis::ambush);
  schedule(rates_.estrange, &Nemesis::estrange);
  schedule(rates_.pause, &Nemesis::pause);
  schedule(rates_.partition, &Nemesis::partition);
  schedule(rates_.one_way, &Nemesis::cut_some);
  schedule(rates_.slow_disk, &Nemesis::slow_disks);
  schedule(rates_.slow_link, &Nemesis::slow_a_link);
  schedule(rates_.reset, &Nemesis::reset_some);
}

void Nemesis::heal() {
  strikes_.stop();
  world_.fabric().set_frame_faults({});
  world_.fabric().set_model({});
  world_.fabric().heal_all();
  for (ServerNode* server : cluster_.servers()) {
    server->host().disk().set_slowness(1.0);
    if (!server->is_up()) {
      server->start();
    } else if (server->host().is_paused()) {
      server->host().resume();
      // Its start may have failed and not been retried while it was paused.
      if (!server->start_error().empty()) {
        server->crash(CrashKind::kKill);
        server->start();
      }
    }
  }
  log("all is healed");
}

// ---- hosts

void Nemesis::crash(ServerNode& server, CrashKind kind) {
  if (!server.is_up()) return;
  if (before_crash_) before_crash_();
  log((kind == CrashKind::kKill ? "kill " : "power loss of ") + server.host().name());
  server.crash(kind);
  after(between(rates_.down_min, rates_.down_max), [this, &server] {
    if (server.is_up()) return;
    log("start " + server.host().name());
    server.start();
  });
}

void Nemesis::lose_power() {
  crash(pick_server(), CrashKind::kPowerLoss);
}

void Nemesis::kill() {
  crash(pick_server(), CrashKind::kKill);
}

void Nemesis::black_out() {
  const auto strike = [this] {
    for (ServerNode* server : cluster_.servers()) crash(*server, CrashKind::kPowerLoss);
  };
  if (rng_.chance(0.5)) return strike();
  // With slow disks there is more in flight that may be lost.
  const double factor = strikes_.draw_slowness(rates_.slowness_max / 10, rates_.slowness_max);
  for (ServerNode* server : cluster_.servers()) slow_down(*server, factor);
  after(between(50ms, 1s), strike);
}

std::set<std::pair<GroupId, std::string>> Nemesis::leaderships() {
  std::set<std::pair<GroupId, std::string>> all;
  for (auto& server : cluster_.chunkservers()) {
    if (!server->has_started() || !server->raft()) continue;
    for (const auto& [group, node] : server->raft()->nodes()) {
      if (node->is_leader()) all.insert({group, server->host().name()});
    }
  }
  return all;
}

void Nemesis::ambush() {
  // An election is when little is on the disks and much has been promised: one is provoked while
  // the disks are slow, and whoever took part is struck as soon as it is won.
  const double factor = strikes_.draw_slowness(1, rates_.slowness_max);
  for (ServerNode* server : cluster_.servers()) slow_down(*server, factor);
  const auto leading = leaders();
  if (leading.empty()) return;
  crash(*leading[rng_.below(leading.size())], CrashKind::kPowerLoss);
  lie_in_wait(leaderships(), world_.now() + 4s);
}

void Nemesis::lie_in_wait(std::set<std::pair<GroupId, std::string>> known, Instant until) {
  if (world_.now() > until) return;
  auto now = leaderships();
  const bool has_new_leader = std::any_of(
      now.begin(), now.end(), [&](const auto& leadership) { return !known.contains(leadership); });
  if (!has_new_leader) {
    after(500us, [this, now = std::move(now), until] { lie_in_wait(now, until); });
    return;
  }
  const double share = rng_.unit();
  for (ServerNode* server : cluster_.servers()) {
    if (rng_.chance(share)) crash(*server, CrashKind::kPowerLoss);
  }
}

void Nemesis::estrange() {
  const auto leading = leaders();
  if (leading.empty()) return;
  ServerNode& server = *leading[rng_.below(leading.size())];
  if (server.host().is_paused()) return;
  log("estrange " + server.host().name());
  std::vector<Host*> others;
  for (ServerNode* other : cluster_.servers()) {
    if (other != &server) others.push_back(&other->host());
  }
  server.host().pause();
  const Duration paused = between(500ms, 2s);
  after(paused, [&server] {
    if (server.is_up()) server.host().resume();
  });
  strikes_.split_for({&server.host()}, others, paused + between(200ms, 2s));
}

void Nemesis::pause() {
  ServerNode& server = pick_server();
  if (!server.is_up() || server.host().is_paused()) return;
  log("pause " + server.host().name());
  server.host().pause();
  after(between(10ms, rates_.pause_max), [this, &server] {
    if (!server.is_up() || !server.host().is_paused()) return;
    log("resume " + server.host().name());
    server.host().resume();
  });
}

void Nemesis::slow_down(ServerNode& server, double factor) {
  log("slow disk on " + server.host().name() + ", by " + std::to_string(factor));
  strikes_.slow_disk_for(server.host().disk(), factor, between(100ms, 5s));
}

void Nemesis::slow_disks() {
  if (!rng_.chance(0.3))
    return slow_down(pick_server(), strikes_.draw_slowness(1, rates_.slowness_max));
  for (ServerNode* server : cluster_.servers()) {
    slow_down(*server, strikes_.draw_slowness(1, rates_.slowness_max));
  }
}

// ---- network

void Nemesis::partition() {
  auto hosts = all_hosts();
  std::vector<Host*> inside, outside;
  if (rng_.chance(rates_.narrow_share)) {
    // A leader that still hears a client is the one that could answer with what is old.
    const Host* server = &pick_server().host();
    const Host* client = rng_.chance(0.5) ? clients_.back() : clients_[rng_.below(clients_.size())];
    for (Host* host : hosts) {
      (host == server || host == client ? inside : outside).push_back(host);
    }
  } else {
    for (Host* host : hosts) (rng_.chance(0.35) ? inside : outside).push_back(host);
  }
  std::string names;
  for (Host* host : inside) names += " " + host->name();
  log("partition of" + names);
  strikes_.split_for(inside, outside, between(50ms, rates_.partition_max));
}

void Nemesis::cut_some() {
  auto hosts = all_hosts();
  const uint64_t cuts_count = rng_.between(1, 4);
  for (uint64_t i = 0; i < cuts_count; ++i) {
    Host* from = hosts[rng_.below(hosts.size())];
    Host* to = hosts[rng_.below(hosts.size())];
    if (from == to) continue;
    log("cut " + from->name() + " -> " + to->name());
    strikes_.cut_for(*from, *to, between(50ms, rates_.partition_max));
  }
}

void Nemesis::slow_a_link() {
  auto hosts = all_hosts();
  Host* from = hosts[rng_.below(hosts.size())];
  Host* to = hosts[rng_.below(hosts.size())];
  if (from == to) return;
  log("slow link " + from->name() + " -> " + to->name());
  const Duration delay = between(1ms, rates_.slow_link_max);
  strikes_.slow_link_for(*from, *to, delay, between(100ms, 5s));
}

void Nemesis::reset_some() {
  auto hosts = all_hosts();
  Host* a = hosts[rng_.below(hosts.size())];
  Host* b = hosts[rng_.below(hosts.size())];
  if (a == b) return;
  log("reset " + a->name() + " - " + b->name());
  world_.fabric().reset_connections(*a, *b);
}

}  // namespace cairn::sim
