#include "multiraft/host.h"

namespace cairn::multiraft {

namespace {

/// Where a new group's log begins: every member starts from the same mark.
constexpr LogIndex kFirstMarkIndex{1};
constexpr Term kFirstMarkTerm{1};

wal::SnapshotMark first_mark(const std::vector<NodeId>& voters) {
  raft::Snapshot snapshot;
  snapshot.metadata.index = kFirstMarkIndex;
  snapshot.metadata.term = kFirstMarkTerm;
  snapshot.metadata.conf_state.voters = voters;
  snapshot.data = encode(GroupState{.epoch = Epoch(1), .machine = Buffer()});
  wal::SnapshotMark mark;
  mark.index = kFirstMarkIndex;
  mark.term = kFirstMarkTerm;
  mark.data = encode_mark(snapshot);
  return mark;
}

std::set<SnapshotFiles::Key> files_named_by(const std::vector<wal::RecoveredGroup>& groups) {
  std::set<SnapshotFiles::Key> named;
  for (const wal::RecoveredGroup& group : groups) {
    if (!group.snapshot || is_removed_mark(group.snapshot->data.view())) continue;
    auto snapshot = decode_mark(group.snapshot->data.view());
    if (!snapshot) continue;
    auto state = decode_group_state((*snapshot)->data.view());
    if (state && state->file) named.emplace(group.group, state->file->index);
  }
  return named;
}

uint64_t draw_life(io::Entropy& entropy) {
  std::array<std::byte, sizeof(uint64_t)> bytes;
  entropy.fill(bytes);
  return load<uint64_t>(bytes);
}

}  // namespace

Host::Host(io::Env env, NodeId self, rpc::Client& client, const PeerDirectory& peers,
           HostOptions options)
    : env_(env),
      self_(self),
      options_(options),
      client_(client),
      peers_(peers),
      transport_(self, client, peers, *this, env.logger.named("transport")),
      cache_(options.cached_payload_bytes_max),
      beats_(options.election_timeout(), options.tick, draw_life(env.entropy)),
      gate_(env.executor),
      durable_moved_(env.executor),
      changed_(env.executor),
      snapshot_taken_(env.executor),
      tick_timer_(env.clock, [this] { tick(); }),
      snapshot_timer_(env.clock, [this] { start_snapshots(); }),
      groups_gauge_(env.metrics.gauge("cairn_raft_groups", "Raft groups in service")),
      groups_ticking_(env.metrics.gauge("cairn_raft_groups_ticking",
                                        "Raft groups that are not quiet: they count ticks")),
      groups_failed_(env.metrics.counter("cairn_raft_groups_failed_total",
                                         "Raft groups put out of service since the start")),
      disk_failed_(env.metrics.gauge("cairn_raft_disk_failed",
                                     "1 if the disk is taken for dead until a restart")) {
  CHECK(!self_.is_none());
  CHECK(options_.heartbeat_ticks > 0 && options_.heartbeat_ticks * 2 < options_.election_ticks);
}

Host::~Host() = default;

io::Task<Status> Host::open(io::Disk& disk, wal::WalOptions wal_options, MachineFactory factory) {
  std::vector<wal::RecoveredGroup> recovered;
  wal_options.owner = self_.value();
  wal_ = CO_TRY(co_await wal::Wal::open(env_, disk, wal_options, *this, &recovered));
  durable_ = wal_->durable_lsn();
  snapshot_files_ = std::make_unique<SnapshotFiles>(env_, disk, self_, client_, peers_, options_);
  CO_TRY(co_await snapshot_files_->open(files_named_by(recovered)));
  for (wal::RecoveredGroup& group : recovered) {
    const GroupId id = group.group;
    if (Status status = co_await recover(std::move(group), &factory); !status) {
      env_.logger.error("a group stays out of service",
                        {{"group", id}, {"why", status.error().message()}});
      out_of_service_.emplace(id, status.error().describe());
    }
  }
  for (auto& [id, group] : groups_) group->start();
  tick_timer_.arm_after(options_.tick);
  snapshot_timer_.arm_after(options_.snapshot_check_interval);
  co_return ok();
}

io::Task<Status> Host::recover(wal::RecoveredGroup recovered, MachineFactory* factory) {
  const GroupId id = recovered.group;
  if (recovered.snapshot && is_removed_mark(recovered.snapshot->data.view())) {
    removed_.emplace(id, env_.clock.now() + options_.removed_data_kept);
    co_return ok();
  }
  StateMachine* machine = (*factory)(id);
  if (!machine) {
    wal_->append_remove_group(id);
    co_return ok();
  }
  co_return co_await add_group(std::move(recovered), *machine);
}

io::Task<Status> Host::add_group(wal::RecoveredGroup recovered, StateMachine& machine) {
  const GroupId id = recovered.group;
  auto group = CO_TRY(Group::create(*this, id, machine, std::move(recovered)));
  Buffer saved = group->recovered_state().machine;
  if (const auto& file = group->recovered_state().file) {
    saved = CO_TRY(co_await snapshot_files_->load(id, *file));
  }
  CO_TRY(co_await machine.on_recover(std::move(saved)));
  machine.on_epoch(group->recovered_state().epoch, LogIndex());
  groups_by_id_.emplace(id, group.get());
  groups_.emplace(id, std::move(group));
  groups_gauge_.set(static_cast<int64_t>(groups_.size()));
  co_return ok();
}

io::Task<Result<Node*>> Host::create(GroupId id, std::vector<NodeId> voters,
                                     StateMachine& machine) {
  CHECK(std::ranges::find(voters, self_) != voters.end(), "a group is created on its members");
  std::sort(voters.begin(), voters.end());
  co_return co_await begin_group(id, first_mark(voters), &machine);
}

// Of a replica that has nothing and knows no member; it stands before all that any log holds.
wal::SnapshotMark Host::blank_mark() {
  raft::Snapshot snapshot;
  snapshot.data = encode(GroupState{});
  wal::SnapshotMark mark;
  mark.data = encode_mark(snapshot);
  return mark;
}

io::Task<Result<Node*>> Host::join(GroupId id, StateMachine& machine) {
  co_return co_await begin_group(id, blank_mark(), &machine);
}

io::Task<Result<Node*>> Host::begin_group(GroupId id, wal::SnapshotMark mark,
                                          StateMachine* machine) {
  auto inside = CO_TRY(gate_.enter());
  // Two calls at once: the second would begin the log and the state machine anew under the first.
  while (changing_.contains(id)) co_await changed_.wait_next();
  if (disk_error_) co_return *disk_error_;
  if (Node* node = find(id)) co_return node;
  CO_TRY(check_free(id));
  co_return co_await begin_alone(id, std::move(mark), machine);
}

Status Host::check_free(GroupId id) const {
  if (auto found = out_of_service_.find(id); found != out_of_service_.end()) {
    return error(Errc::kCorrupt, "the group is out of service here: " + found->second);
  }
  if (removed_.contains(id)) {
    return error(Errc::kPreconditionFailed,
                 "data of a removed replica of the group still lies here; nothing was created");
  }
  return ok();
}

io::Task<Result<Node*>> Host::begin_alone(GroupId id, wal::SnapshotMark mark,
                                          StateMachine* machine) {
  const ChangeOf change(*this, id);
  CO_TRY(co_await make_group(id, std::move(mark), machine));
  co_return find(id);
}

io::Task<Status> Host::make_group(GroupId id, wal::SnapshotMark mark, StateMachine* machine) {
  wal::RecoveredGroup recovered;
  recovered.group = id;
  recovered.snapshot = std::move(mark);
  const wal::Lsn lsn = wal_->append_snapshot(id, *recovered.snapshot, /*reset_log=*/true);
  CO_TRY(co_await wait_durable(lsn));
  CO_TRY(co_await add_group(std::move(recovered), *machine));
  groups_.at(id)->start();
  co_return ok();
}

io::Task<Status> Host::wait_durable(wal::Lsn lsn) {
  while (durable_ < lsn) {
    if (disk_error_) co_return *disk_error_;
    co_await durable_moved_.wait_next();
  }
  co_return ok();
}

Group* Host::group(GroupId id) {
  auto found = groups_by_id_.find(id);
  return found == groups_by_id_.end() ? nullptr : found->second;
}

Node* Host::find(GroupId id) {
  Group* found = group(id);
  return found ? &found->node() : nullptr;
}

std::vector<std::pair<GroupId, Node*>> Host::nodes() {
  std::vector<std::pair<GroupId, Node*>> nodes;
  nodes.reserve(groups_.size());
  for (auto& [id, group] : groups_) nodes.emplace_back(id, &group->node());
  return nodes;
}

void Host::fail_disk(Error reason) {
  if (disk_error_) return;
  env_.logger.error("the disk is taken for dead: its groups are out of service until a restart",
                    {{"why", reason.message()}});
  disk_error_ = error(Errc::kIo, "this disk has failed: " + reason.message());
  disk_failed_.set(1);
  for (auto& [id, group] : groups_) group->fail(*disk_error_);
  durable_moved_.notify_all();
}

void Host::on_group_failed(const Error& reason) {
  groups_failed_.add();
  // After one failed write or flush nothing on the device is to be trusted (pitfall 24).
  if (reason.code() == Errc::kIo) fail_disk(reason);
}

void Host::on_failed(Error reason) {
  fail_disk(std::move(reason));
}

void Host::notify_when_durable(Group& group, wal::Lsn after) {
  // Nearly always the youngest; a group that waits for what it wrote a while ago stands before it.
  auto place = durable_notices_.end();
  while (place != durable_notices_.begin() && std::prev(place)->first > after) --place;
  durable_notices_.emplace(place, after, group.id());
}

void Host::on_durable(wal::Lsn up_to) {
  CHECK(up_to >= durable_, "what is durable stays durable");
  durable_ = up_to;
  while (!durable_notices_.empty() && durable_notices_.front().first <= up_to) {
    const GroupId id = durable_notices_.front().second;
    durable_notices_.pop_front();
    if (Group* found = group(id)) {
      found->on_durable(up_to);
      settle(*found);
    }
  }
  durable_moved_.notify_all();
}

void Host::mark_ready(Group& group) {
  if (!std::exchange(group.is_ready_marked, true)) ready_.push_back(&group);
  if (!std::exchange(group.is_ticking, true)) ticking_.push_back(group.id());
  env_.executor.at_turn_end(*this);
}

// With thousands of groups a turn touches more memory than the caches hold. A group whose messages
// have been taken is therefore processed before the next one is looked at; proposals alone wait for
// the turn's end, since several of one group become one append.
void Host::settle(Group& group) {
  if (!group.is_ready_marked || ready_.empty() || ready_.back() != &group) return;
  ready_.pop_back();
  group.is_ready_marked = false;
  group.process_ready();
}

void Host::on_batch(rpc::Call<wire::RaftBatch> batch) {
  transport_.on_batch(std::move(batch));
  if (Group* last = std::exchange(receiving_, nullptr)) settle(*last);
}

void Host::on_turn_end() {
  // Handling one group may touch another of this host only through a message, and those are for
  // other hosts: one pass over what is marked, again while something new is.
  while (!ready_.empty()) {
    auto ready = std::exchange(ready_, {});
    for (Group* group : ready) {
      group->is_ready_marked = false;
      group->process_ready();
    }
  }
  transport_.flush();
  shrink_cache();
}

void Host::shrink_cache() {
  cache_.shrink([this](const PayloadCache::Note& note) {
    Group* found = group(note.group);
    return !found || found->drop_payload(note.index, note.term);
  });
}

void Host::on_message(GroupId id, raft::Message message) {
  Group* const found = group(id);
  if (receiving_ && receiving_ != found) settle(*receiving_);
  receiving_ = found;
  if (found) found->receive(std::move(message));
}

void Host::on_heartbeat(NodeId from, const GroupHeartbeat& heartbeat) {
  if (Group* found = group(heartbeat.group)) found->receive_heartbeat(from, heartbeat);
}

void Host::on_heartbeat_answer(NodeId from, const GroupHeartbeatAnswer& answer) {
  if (Group* found = group(answer.group)) found->receive_heartbeat_answer(from, answer);
}

void Host::on_beat(NodeId from, uint64_t vouch, uint64_t stamp) {
  switch (beats_.on_beat(from, vouch, env_.clock.now())) {
    case HostBeats::News::kNone:
      break;
    case HostBeats::News::kDisowned:
      release_bound_to(from, Group::LeaderIs::kNotKnown);
      break;
    case HostBeats::News::kRestarted:
      release_bound_to(from, Group::LeaderIs::kGone);
      break;
  }
  transport_.send_beat_answer(from, beats_.epoch_for(from), stamp);
  env_.executor.at_turn_end(*this);
}

void Host::on_beat_answer(NodeId from, uint64_t epoch, uint64_t stamp) {
  const Instant sent_at(Duration(static_cast<int64_t>(stamp)));
  if (beats_.on_answer(from, epoch, sent_at, env_.clock.now())) tell_peer_news(from);
}

void Host::on_leader_silent(NodeId leader) {
  beats_.withdraw(leader);
  release_bound_to(leader, Group::LeaderIs::kGone);
}

void Host::release_bound_to(NodeId leader, Group::LeaderIs leader_is) {
  for (auto& [id, group] : groups_) {
    if (group->bound_to() == leader) group->release(leader_is);
  }
}

void Host::tell_peer_news(NodeId peer) {
  for (auto& [id, group] : groups_) group->on_peer_news(peer);
}

void Host::on_undeliverable(GroupId id, const raft::Message& message) {
  if (Group* found = group(id)) found->undeliverable(message);
}

void Host::tick() {
  const bool beats = ++ticks_ % options_.heartbeat_ticks == 0;
  const Instant now = env_.clock.now();
  for (NodeId leader : beats_.take_silent_leaders(now)) {
    release_bound_to(leader, Group::LeaderIs::kGone);
  }
  for (NodeId follower : beats_.take_silent_followers(now)) tell_peer_news(follower);
  tick_groups(beats);
  if (beats) {
    const auto stamp = static_cast<uint64_t>(now.time_since_epoch().count());
    for (NodeId to : beats_.followers()) transport_.send_beat(to, beats_.vouch(), stamp);
    env_.executor.at_turn_end(*this);
  }
  if (!gate_.is_closed()) tick_timer_.arm_after(options_.tick);
}

void Host::tick_groups(bool beats) {
  // A group that has something to do marks itself ready, and stands in the list again.
  for (GroupId id : std::exchange(ticking_, {})) {
    Group* found = group(id);
    if (!found) continue;
    found->is_ticking = false;
    found->tick(beats);
  }
  groups_ticking_.set(static_cast<int64_t>(ticking_.size()));
}

void Host::start_snapshots() {
  if (gate_.is_closed() || disk_error_) return;
  purge_expired();
  const bool is_pressed = wal_->over_limit();
  const Group::Keep keep = is_pressed ? Group::Keep::kNothing : Group::Keep::kRetainedLog;
  for (GroupId id : is_pressed ? groups_in_the_way() : groups_to_save()) {
    if (snapshots_count_ >= options_.snapshots_at_once_max) break;
    start_snapshot(id, keep);
  }
  snapshot_timer_.arm_after(is_pressed ? options_.snapshot_check_interval / kPressedChecks
                                       : options_.snapshot_check_interval);
}

uint64_t Host::retained_log_bytes() const {
  const uint64_t part = options_.retained_log_bytes_all / std::max<size_t>(1, groups_.size());
  return std::min(options_.retained_log_bytes, part);
}

/// Those whose entries hold the oldest segments, beginning behind the one that had its turn last:
/// one that cannot give way yet does not keep the others from it.
std::vector<GroupId> Host::groups_in_the_way() const {
  std::vector<GroupId> found =
      wal_->groups_pinning_oldest(kPinningGroupsMax + out_of_service_.size());
  std::erase_if(found, [this](GroupId id) { return !groups_.contains(id); });
  std::ranges::rotate(found, std::ranges::upper_bound(found, last_snapshot_of_));
  return found;
}

/// Those with most to apply again first.
std::vector<GroupId> Host::groups_by_replay() const {
  std::vector<std::pair<uint64_t, GroupId>> sizes;
  for (const auto& [id, group] : groups_) {
    if (group->can_snapshot()) sizes.emplace_back(group->replay_bytes(), id);
  }
  std::ranges::sort(sizes, std::greater());
  std::vector<GroupId> ids;
  ids.reserve(sizes.size());
  for (const auto& [bytes, id] : sizes) ids.push_back(id);
  return ids;
}

std::vector<GroupId> Host::groups_to_save() const {
  uint64_t replay_bytes = 0;
  bool any_wants = false;
  for (const auto& [id, group] : groups_) {
    replay_bytes += group->replay_bytes();
    any_wants |= group->wants_snapshot();
  }
  if (!any_wants && replay_bytes <= options_.replay_bytes_max) return {};
  std::vector<GroupId> ids = groups_by_replay();
  std::erase_if(ids, [&](GroupId id) {
    const Group& group = *groups_.at(id);
    const bool in_excess = replay_bytes > options_.replay_bytes_max;
    if (in_excess) replay_bytes -= group.replay_bytes();
    return !in_excess && !group.wants_snapshot();
  });
  return ids;
}

void Host::start_snapshot(GroupId id, Group::Keep keep) {
  ++snapshots_count_;
  last_snapshot_of_ = id;
  env_.executor.spawn(snapshot(id, keep));
}

io::Task<void> Host::snapshot(GroupId id, Group::Keep keep) {
  if (Group* found = group(id)) {
    if (Status taken = co_await found->take_snapshot(keep); !taken) {
      env_.logger.warn("a snapshot was not taken; the log stays",
                       {{"group", id}, {"why", taken.error().message()}});
    } else if (snapshot_timer_.armed()) {
      snapshot_timer_.arm_after(Duration::zero());  // the next one need not wait for the interval
    }
  }
  --snapshots_count_;
  snapshot_taken_.notify_all();
}

io::Task<void> Host::save_groups() {
  const Instant until = env_.clock.now() + options_.save_at_stop_max;
  for (GroupId id : groups_by_replay()) {
    while (snapshots_count_ >= options_.snapshots_at_once_max) {
      co_await snapshot_taken_.wait_next();
    }
    if (disk_error_ || env_.clock.now() >= until) break;
    if (Group* found = group(id); found && found->can_snapshot()) {
      start_snapshot(id, Group::Keep::kRetainedLog);
    }
  }
  while (snapshots_count_ > 0) co_await snapshot_taken_.wait_next();
}

io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> Host::on_fetch_snapshot(
    rpc::Call<wire::FetchSnapshotRequest> call) {
  auto inside = CO_TRY(gate_.enter());
  const wire::FetchSnapshotRequest& request = call.request;
  if (!snapshot_files_) co_return error(Errc::kUnavailable, "this host is starting");
  rpc::Answer<wire::FetchSnapshotReply> answer;
  answer.attachment.push_back(CO_TRY(co_await snapshot_files_->read_piece(
      GroupId(request.group()), LogIndex(request.index()), request.offset_bytes(),
      request.piece_bytes_max(), NodeId(request.to_node()))));
  co_return answer;
}

io::Task<void> Host::stop() {
  snapshot_timer_.disarm();
  if (wal_ && !disk_error_) co_await save_groups();
  tick_timer_.disarm();
  if (snapshot_files_) snapshot_files_->begin_stop();
  for (auto& [id, group] : groups_) group->begin_stop();
  durable_moved_.notify_all();
  co_await gate_.close();
  for (auto& [id, group] : groups_) co_await group->stop();
  if (wal_) co_await wal_->stop();
}

}  // namespace cairn::multiraft
