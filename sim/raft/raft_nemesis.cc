#include "sim/raft/raft_nemesis.h"

#include "base/crc32c.h"

namespace cairn::sim {

namespace {
constexpr uint64_t kDiskBytes = 64 * kGiB;

io::Task<void> snapshot_of(multiraft::Node* node) {
  (void)co_await node->snapshot();
}
}  // namespace

RaftNemesis::RaftNemesis(World& world, std::vector<std::unique_ptr<RaftMember>>& members,
                         RunContext& context, RaftOperator& op)
    : world_(world),
      members_(members),
      context_(context),
      operator_(op),
      rates_(context.plan.faults),
      timeout_(context.plan.timeout()),
      strikes_(world),
      rng_(strikes_.rng()),
      victim_(members[rng_.below(members.size())].get()) {}

void RaftNemesis::note(const std::string& what, const std::string& whom) {
  context_.count("strike: " + what);
  world_.logger("nemesis").info(whom.empty() ? what : what + " on " + whom);
}

void RaftNemesis::schedule(Duration mean, void (RaftNemesis::*strike)()) {
  strikes_.every(mean, [this, strike] { (this->*strike)(); });
}

Duration RaftNemesis::timeouts(double low, double high) {
  const auto unit = static_cast<double>(timeout_.count());
  return between(Duration(static_cast<int64_t>(low * unit)),
                 Duration(static_cast<int64_t>(high * unit)));
}

std::vector<RaftMember*> RaftNemesis::leaders() {
  std::vector<RaftMember*> leading;
  for (auto& member : members_) {
    if (member->leads_any()) leading.push_back(member.get());
  }
  return leading;
}

RaftMember& RaftNemesis::pick_member() {
  if (rng_.chance(rates_.leaders_share)) {
    const auto leading = leaders();
    if (!leading.empty()) return *leading[rng_.below(leading.size())];
  }
  return *members_[rng_.below(members_.size())];
}

void RaftNemesis::begin() {
  LinkModel model;
  model.spike_chance = rates_.spike_chance;
  model.spike_max = timeout_;
  model.give_up_min = 2 * timeout_;
  model.give_up_max = 10 * timeout_;
  world_.fabric().set_model(model);
  world_.fabric().set_frame_faults(rates_.frames);
  schedule(rates_.power_loss, &RaftNemesis::lose_power);
  schedule(rates_.kill, &RaftNemesis::kill);
  schedule(rates_.blackout, &RaftNemesis::black_out);
  schedule(rates_.ambush, &RaftNemesis::ambush);
  schedule(rates_.pause, &RaftNemesis::pause);
  schedule(rates_.estrange, &RaftNemesis::estrange);
  schedule(rates_.bridge, &RaftNemesis::bridge);
  schedule(rates_.partition, &RaftNemesis::partition);
  schedule(rates_.partition * 3, &RaftNemesis::depose_in_turn);
  schedule(rates_.one_way, &RaftNemesis::cut_some);
  schedule(rates_.slow_link, &RaftNemesis::slow_a_link);
  schedule(rates_.reset, &RaftNemesis::reset_some);
  schedule(rates_.slow_disk, &RaftNemesis::slow_disks);
  schedule(rates_.disk_error, &RaftNemesis::break_disk);
  schedule(rates_.disk_hang, &RaftNemesis::hang_disk);
  schedule(rates_.full_disk, &RaftNemesis::fill_disk);
  schedule(rates_.corruption, &RaftNemesis::corrupt);
  schedule(rates_.snapshot, &RaftNemesis::take_snapshot);
  schedule(rates_.transfer, &RaftNemesis::transfer);
  schedule(rates_.conf_change, &RaftNemesis::change_members);
  supervise();
}

void RaftNemesis::heal() {
  strikes_.stop();
  context_.writes_held = false;
  world_.fabric().set_frame_faults({});
  world_.fabric().set_model({});
  world_.fabric().heal_all();
  for (auto& member : members_) {
    SimDisk& disk = member->host().disk();
    disk.set_slowness(1.0);
    disk.set_hung(false);
    disk.set_capacity(kDiskBytes);
    disk.clear_errors();
    if (!member->is_up()) {
      member->start();
    } else if (member->host().is_paused()) {
      member->host().resume();
      // Its start may have failed and not been retried while it was paused.
      if (!member->start_error().empty()) {
        member->crash(CrashKind::kKill);
        member->start();
      }
    }
  }
  supervise();
  world_.logger("nemesis").info("all is healed");
}

/// What a supervisor does on real machines: a process whose disk is dead, or one of whose groups
/// has failed, ends and is started again.
void RaftNemesis::supervise() {
  after(timeout_, [this] {
    for (auto& member : members_) {
      if (!member->restart_if_failed()) continue;
      member->host().disk().set_hung(false);
      world_.logger("nemesis").info("restart of " + member->host().name() + " after a failure");
    }
    supervise();
  });
}

// ---- hosts

void RaftNemesis::crash(RaftMember& member, CrashKind kind) {
  if (!member.is_up()) return;
  note(kind == CrashKind::kKill ? "kill" : "power loss", member.host().name());
  member.crash(kind);
  after(between(rates_.down_min, rates_.down_max), [this, &member] {
    if (member.is_up()) return;
    world_.logger("nemesis").info("start " + member.host().name());
    member.start();
  });
}

void RaftNemesis::lose_power() {
  crash(pick_member(), CrashKind::kPowerLoss);
}

void RaftNemesis::kill() {
  crash(pick_member(), CrashKind::kKill);
}

void RaftNemesis::black_out() {
  note("blackout");
  const auto strike = [this] {
    for (auto& member : members_) crash(*member, CrashKind::kPowerLoss);
  };
  if (rng_.chance(0.5)) return strike();
  // With slow disks there is more in flight that may be lost.
  for (auto& member : members_) slow_down(*member);
  after(timeouts(0.1, 2), strike);
}

std::set<std::pair<GroupId, NodeId>> RaftNemesis::leaderships() {
  std::set<std::pair<GroupId, NodeId>> all;
  for (auto& member : members_) {
    if (!member->raft()) continue;
    for (const auto& [group, node] : member->raft()->nodes()) {
      if (node->is_leader()) all.insert({group, member->self()});
    }
  }
  return all;
}

void RaftNemesis::ambush() {
  note("ambush");
  // An election is when little is on the disks and much has been promised: one is provoked while
  // the disks are slow, and whoever took part is struck as soon as it is won.
  if (rng_.chance(0.7)) {
    for (auto& member : members_) slow_down(*member);
  }
  const auto leading = leaders();
  if (leading.empty()) return;
  crash(*leading[rng_.below(leading.size())], CrashKind::kPowerLoss);
  lie_in_wait(leaderships(), world_.now() + 6 * timeout_);
}

void RaftNemesis::lie_in_wait(std::set<std::pair<GroupId, NodeId>> known, Instant until) {
  if (world_.now() > until) return;
  auto now = leaderships();
  const bool has_new_leader =
      std::ranges::any_of(now, [&](const auto& leadership) { return !known.contains(leadership); });
  if (!has_new_leader) {
    after(timeout_ / 500, [this, now = std::move(now), until] { lie_in_wait(now, until); });
    return;
  }
  const double share = rng_.unit();
  for (auto& member : members_) {
    if (rng_.chance(share)) crash(*member, CrashKind::kPowerLoss);
  }
}

void RaftNemesis::pause() {
  RaftMember& member = pick_member();
  if (!member.is_up() || member.host().is_paused()) return;
  note("pause", member.host().name());
  member.host().pause();
  after(between(timeout_ / 20, rates_.pause_max), [this, &member] {
    if (!member.is_up() || !member.host().is_paused()) return;
    world_.logger("nemesis").info("resume " + member.host().name());
    member.host().resume();
  });
}

void RaftNemesis::estrange() {
  const auto leading = leaders();
  if (leading.empty()) return;
  RaftMember& member = *leading[rng_.below(leading.size())];
  if (member.host().is_paused()) return;
  note("estranged leader", member.host().name());
  const Duration paused = timeouts(0.5, 3);
  cut_off(member, paused + timeouts(0.2, 3));
  member.host().pause();
  after(paused, [&member] {
    if (member.is_up() && member.host().is_paused()) member.host().resume();
  });
}

/// A leader and one that wants to lead do not hear each other; who decides between them hears both,
/// and forgets again and again whom it has promised what.
void RaftNemesis::bridge() {
  const auto& groups = context_.plan.groups;
  const RaftGroupShape& group = groups[rng_.below(groups.size())];
  std::vector<RaftMember*> others;
  RaftMember* leader = nullptr;
  for (auto& member : members_) {
    multiraft::Node* node = member->node(group.id);
    if (!node) continue;
    if (node->is_leader()) {
      leader = member.get();
    } else {
      others.push_back(member.get());
    }
  }
  if (!leader || others.size() < 2) return;
  std::swap(others[0], others[rng_.below(others.size())]);
  RaftMember* candidate = others[0];
  RaftMember* judge = others[rng_.between(1, others.size() - 1)];
  note("bridge", judge->host().name());
  world_.fabric().cut_both(leader->host(), candidate->host());
  // With more members, the other voters do not count.
  for (RaftMember* other : others) {
    if (other != candidate && other != judge && rng_.chance(0.8)) {
      cut_off(*other, timeouts(4, 6));
    }
  }
  after(timeouts(1, 2), [this, judge, leader] { restart_again(*judge, *leader, 4); });
  context_.writes_held = true;
  after(timeouts(6, 8), [this, leader, candidate] {
    context_.writes_held = false;
    world_.fabric().heal_both(leader->host(), candidate->host());
  });
}

void RaftNemesis::restart_again(RaftMember& judge, RaftMember& leader, int times) {
  if (times == 0) return;
  if (judge.is_up()) {
    context_.count("strike: kill");
    judge.crash(CrashKind::kKill);
    // The leader does not learn at once what is decided without it.
    world_.fabric().cut_both(leader.host(), judge.host());
    after(timeouts(0.01, 0.1), [&judge] {
      if (!judge.is_up()) judge.start();
    });
    after(timeouts(0.5, 1),
          [this, &judge, &leader] { world_.fabric().heal_both(leader.host(), judge.host()); });
  }
  after(timeouts(1.2, 2),
        [this, &judge, &leader, times] { restart_again(judge, leader, times - 1); });
}

// ---- network

void RaftNemesis::cut_off(RaftMember& member, Duration duration) {
  std::vector<Host*> others;
  for (auto& other : members_) {
    if (other.get() != &member) others.push_back(&other->host());
  }
  strikes_.split_for({&member.host()}, others, duration);
}

void RaftNemesis::partition() {
  std::vector<Host*> inside, outside;
  if (rng_.chance(0.4)) {
    RaftMember& member = pick_member();
    note("isolation", member.host().name());
    return cut_off(member, between(timeout_ / 4, rates_.partition_max));
  }
  std::string names;
  for (auto& member : members_) {
    const bool is_inside = rng_.chance(0.4);
    (is_inside ? inside : outside).push_back(&member->host());
    if (is_inside) names += " " + member->host().name();
  }
  note("partition", names);
  strikes_.split_for(inside, outside, between(timeout_ / 4, rates_.partition_max));
}

/// One leader after the other is cut off with what it has just begun, and comes back when the next
/// is: entries of several terms meet, some of them on a majority and none of them committed.
void RaftNemesis::depose_in_turn() {
  note("leaders deposed in turn");
  depose_again(static_cast<int>(rng_.between(3, 6)));
}

void RaftNemesis::depose_again(int times) {
  if (times == 0) return;
  const auto leading = leaders();
  const Duration next = timeouts(1.5, 3);
  if (!leading.empty()) {
    RaftMember& member = *leading[rng_.below(leading.size())];
    const Duration duration = next + timeouts(0.1, 1.5);
    if (rng_.chance(0.3)) {
      crash(member, CrashKind::kPowerLoss);
    } else {
      cut_off(member, duration);
    }
  }
  after(next, [this, times] { depose_again(times - 1); });
}

void RaftNemesis::cut_some() {
  note("one-way cuts");
  const uint64_t cuts_count = rng_.between(1, 5);
  for (uint64_t i = 0; i < cuts_count; ++i) {
    Host* from = &pick_member().host();
    Host* to = &members_[rng_.below(members_.size())]->host();
    if (from == to) continue;
    if (rng_.chance(0.5)) std::swap(from, to);
    strikes_.cut_for(*from, *to, between(timeout_ / 4, rates_.partition_max));
  }
}

void RaftNemesis::slow_a_link() {
  Host* from = &members_[rng_.below(members_.size())]->host();
  Host* to = &members_[rng_.below(members_.size())]->host();
  if (from == to) return;
  note("slow link", from->name());
  const Duration delay = between(timeout_ / 100, rates_.slow_link_max);
  strikes_.slow_link_for(*from, *to, delay, timeouts(0.5, 10));
}

void RaftNemesis::reset_some() {
  Host* a = &members_[rng_.below(members_.size())]->host();
  Host* b = &members_[rng_.below(members_.size())]->host();
  if (a == b) return;
  note("reset connections");
  world_.fabric().reset_connections(*a, *b);
}

// ---- disks

void RaftNemesis::slow_down(RaftMember& member) {
  const double factor = strikes_.draw_slowness(1, rates_.slowness_max);
  note("slow disk", member.host().name());
  strikes_.slow_disk_for(member.host().disk(), factor, timeouts(0.3, 8));
}

void RaftNemesis::slow_disks() {
  if (!rng_.chance(0.3)) return slow_down(pick_member());
  for (auto& member : members_) slow_down(*member);
}

void RaftNemesis::break_disk() {
  RaftMember& member = pick_member();
  SimDisk& disk = member.host().disk();
  note("disk error", member.host().name());
  switch (rng_.below(4)) {
    case 0:
      disk.fail_next_sync();
      break;
    case 1:
      disk.fail_operation(DiskOperation::kRead, rng_.between(1, 3));
      break;
    case 2:
      disk.fail_operation(DiskOperation::kNames, 1);
      break;
    default:
      disk.fail_operation(DiskOperation::kWrite, rng_.between(1, 5));
  }
}

void RaftNemesis::hang_disk() {
  RaftMember& member = pick_member();
  note("disk hang", member.host().name());
  member.host().disk().set_hung(true);
  after(timeouts(1, 12), [&member] { member.host().disk().set_hung(false); });
}

void RaftNemesis::fill_disk() {
  RaftMember& member = pick_member();
  note("full disk", member.host().name());
  member.host().disk().set_capacity(kBlockBytes);
  after(timeouts(1, 12), [&member] { member.host().disk().set_capacity(kDiskBytes); });
}

/// A block of the victim's log that is to rot. It must be known to be durable by what stands behind
/// it: the end of a log that rots cannot be told from one that was torn.
struct RaftNemesis::Damage {
  std::string path;
  uint64_t offset_bytes = 0;
  uint32_t content = 0;  ///< its checksum: a block that is written anew is left alone
  uint32_t start = 0;
  wal::Lsn after;
  int rounds = 0;
  int polls = 0;
};

void RaftNemesis::corrupt() {
  if (!victim_->raft() || victim_->host().is_paused()) return;
  SimDisk& disk = victim_->host().disk();
  const std::string directory = context_.plan.wal.directory;
  std::vector<Damage> candidates;
  for (const std::string& name : disk.names(directory)) {
    const std::string path = directory + "/" + name;
    for (uint64_t at = 0; at + kBlockBytes <= context_.plan.wal.segment_bytes; at += kBlockBytes) {
      const auto block = disk.peek(path, at, kBlockBytes);
      if (block.empty() || std::ranges::all_of(block, [](std::byte b) { return b == std::byte{}; }))
        continue;
      candidates.push_back(
          {.path = path, .offset_bytes = at, .content = crc32c(block), .after = {}});
    }
  }
  if (candidates.empty()) return;
  Damage damage = candidates[rng_.below(candidates.size())];
  damage.start = victim_->starts_count();
  damage.after = victim_->raft()->log().last_lsn();
  await_durable(std::move(damage));
}

void RaftNemesis::await_durable(Damage damage) {
  if (++damage.polls > 40 || victim_->starts_count() != damage.start || !victim_->raft()) return;
  if (victim_->raft()->log().durable_lsn() > damage.after) {
    // Twice: what was in flight at first is durable; and a batch that was begun then, and says so.
    damage.after = victim_->raft()->log().last_lsn();
    if (++damage.rounds == 2) return do_damage(damage);
  }
  after(timeout_ / 8, [this, damage = std::move(damage)] { await_durable(damage); });
}

void RaftNemesis::do_damage(const Damage& damage) {
  SimDisk& disk = victim_->host().disk();
  note("corrupted sector", victim_->host().name());
  crash(*victim_, rng_.chance(0.5) ? CrashKind::kPowerLoss : CrashKind::kKill);
  const auto block = disk.peek(damage.path, damage.offset_bytes, kBlockBytes);
  if (block.empty() || crc32c(block) != damage.content) return;
  context_.count("sector corrupted");
  victim_->note_corruption();
  const uint64_t sector = rng_.below(kBlockBytes / kSectorBytes) * kSectorBytes;
  const uint64_t bits_count = rng_.between(1, 40);
  for (uint64_t i = 0; i < bits_count; ++i) {
    const uint64_t at = damage.offset_bytes + sector + rng_.below(kSectorBytes);
    CHECK(disk.corrupt(damage.path, at, static_cast<unsigned>(rng_.below(8))).ok());
  }
}

// ---- operations

void RaftNemesis::take_snapshot() {
  RaftMember& member = pick_member();
  if (!member.raft() || member.host().is_paused()) return;
  const auto nodes = member.raft()->nodes();
  if (nodes.empty()) return;
  multiraft::Node* node = nodes[rng_.below(nodes.size())].second;
  note("snapshot asked for", member.host().name());
  member.host().spawn(snapshot_of(node));
}

void RaftNemesis::transfer() {
  RaftMember* old = operator_.hand_over();
  if (!old || !rng_.chance(0.4)) return;
  // It does not hear of its successor, and whoever is with it goes on asking it.
  after(timeouts(0, 0.05), [this, old] {
    note("deaf after a transfer", old->host().name());
    const Duration duration = timeouts(0.5, 2);
    for (auto& other : members_) {
      if (other.get() != old) strikes_.cut_for(other->host(), old->host(), duration);
    }
  });
}

void RaftNemesis::change_members() {
  operator_.change_something();
}

}  // namespace cairn::sim
