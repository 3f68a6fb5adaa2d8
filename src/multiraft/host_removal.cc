// Groups that leave a host: removed for good, or taken out of service and made blank.
#include "multiraft/host.h"

namespace cairn::multiraft {

io::Task<void> Host::take_apart(GroupId id) {
  const auto found = groups_.find(id);
  if (found == groups_.end()) co_return;
  co_await found->second->stop();
  std::erase(ready_, found->second.get());
  groups_by_id_.erase(id);
  groups_.erase(id);
  groups_gauge_.set(static_cast<int64_t>(groups_.size()));
}

io::Task<Status> Host::remove(GroupId id) {
  auto inside = CO_TRY(gate_.enter());
  if (changing_.contains(id)) {
    co_return error(Errc::kUnavailable, "something else is being done to the group");
  }
  if (disk_error_) co_return *disk_error_;
  if (!group(id) && !out_of_service_.contains(id)) {
    co_return error(Errc::kNotFound, "the group is not on this host");
  }
  co_return co_await remove_alone(id);
}

io::Task<Status> Host::remove_alone(GroupId id) {
  const ChangeOf change(*this, id);
  raft::Snapshot last;  // of a damaged one nothing is known for sure
  if (Group* found = group(id)) {
    // So that what stays on the disk is of one moment; of one that has failed it cannot be.
    if (!found->has_failed()) (void)co_await found->take_snapshot(Group::Keep::kNothing);
    co_await found->stop();
    last = *found->last_snapshot();
    co_await take_apart(id);
  }
  out_of_service_.erase(id);
  removed_.emplace(id, env_.clock.now() + options_.removed_data_kept);
  wal_->append_remove_group(id);
  wal::SnapshotMark mark;
  mark.index = last.metadata.index;
  mark.term = last.metadata.term;
  mark.data = encode_removed_mark(last);
  env_.logger.info("a group was removed; its data waits to be deleted", {{"group", id}});
  co_return co_await wait_durable(wal_->append_snapshot(id, mark, /*reset_log=*/true));
}

std::vector<GroupId> Host::removed() const {
  std::vector<GroupId> ids;
  for (const auto& [id, due] : removed_) ids.push_back(id);
  return ids;
}

io::Task<Status> Host::purge(GroupId id) {
  auto inside = CO_TRY(gate_.enter());
  while (changing_.contains(id)) co_await changed_.wait_next();
  if (disk_error_) co_return *disk_error_;
  if (!removed_.contains(id)) co_return error(Errc::kNotFound, "nothing is left of the group here");
  co_return co_await purge_alone(id);
}

io::Task<Status> Host::purge_alone(GroupId id) {
  const ChangeOf change(*this, id);
  if (recycler_) CO_TRY(co_await recycler_->erase(id));
  // Only now: as long as there is data, the log knows of it.
  CO_TRY(co_await wait_durable(wal_->append_remove_group(id)));
  co_await snapshot_files_->remove_before(id, LogIndex(UINT64_MAX));
  removed_.erase(id);
  env_.logger.info("what a removed group had left was deleted", {{"group", id}});
  co_return ok();
}

void Host::purge_expired() {
  const Instant now = env_.clock.now();
  for (const auto& [id, due] : removed_) {
    if (due > now || changing_.contains(id)) continue;
    env_.executor.spawn(purge_in_background(id));
    return;  // one at a time; the next with the next check
  }
}

io::Task<void> Host::purge_in_background(GroupId id) {
  if (Status purged = co_await purge(id); !purged && !gate_.is_closed()) {
    env_.logger.warn("a removed group's data could not be deleted; trying again",
                     {{"group", id}, {"why", purged.error().message()}});
    const auto found = removed_.find(id);
    if (found != removed_.end())
      found->second = env_.clock.now() + options_.refusal_retry_delay_max;
  }
}

io::Task<Result<Node*>> Host::reset(GroupId id, StateMachine& machine) {
  auto inside = CO_TRY(gate_.enter());
  if (changing_.contains(id)) {
    co_return error(Errc::kUnavailable, "something else is being done to the group");
  }
  if (disk_error_) co_return *disk_error_;
  Group* found = group(id);
  if (found && !found->has_failed()) {
    co_return error(Errc::kPreconditionFailed, "the group is in service here; nothing was done");
  }
  if (!found && !out_of_service_.contains(id)) {
    co_return error(Errc::kNotFound, "the group is not on this host");
  }
  co_return co_await reset_alone(id, &machine);
}

io::Task<Result<Node*>> Host::reset_alone(GroupId id, StateMachine* machine) {
  const ChangeOf change(*this, id);
  co_await take_apart(id);
  env_.logger.warn("a replica that was out of service begins anew, blank", {{"group", id}});
  // One batch of the log: at no moment is the group unknown here, which create() would mistake for
  // one that never was.
  wal_->append_remove_group(id);
  CO_TRY(co_await make_group(id, blank_mark(), machine));
  co_await snapshot_files_->remove_before(id, LogIndex(UINT64_MAX));
  out_of_service_.erase(id);
  co_return find(id);
}

}  // namespace cairn::multiraft
