#include "mds/volume_changes.h"

#include "mds/keys.h"
#include "mds/record.h"
#include "mds/session_plan.h"

namespace cairn::mds {

namespace {

wire::VolumeNameRecord name_of(const wire::VolumeRecord& volume) {
  wire::VolumeNameRecord name;
  name.set_volume(volume.info().id());
  return name;
}

void remove_name(kv::WriteBatch& batch, const wire::VolumeRecord& volume) {
  std::string key = keys::volume_name(volume.info().name());
  batch.require(key, encode_record(key, name_of(volume)));
  batch.remove(std::move(key));
}

void remove_sessions(kv::WriteBatch& batch, VolumeId volume, const Sessions& sessions) {
  for (const auto& [id, session] : sessions) {
    std::string key = keys::session(volume, id);
    batch.require(key, encode_record(key, session.record));
    batch.remove(std::move(key));
  }
}

}  // namespace

io::Task<Status> store_volume(Context& mds, wire::VolumeRecord after) {
  const VolumeId id(after.info().id());
  const wire::VolumeRecord before = mds.state.volumes.at(id);
  const bool was_in_use = is_in_use(before), is_now_in_use = is_in_use(after);
  const bool has_moved = before.info().name() != after.info().name();
  const bool ends_sessions = was_in_use && !is_now_in_use;
  if (ends_sessions && !mds.state.sessions_of(id).empty()) {
    after.mutable_info()->set_fence(before.info().fence() + 1);
  }
  kv::WriteBatch batch;
  replace_record(batch, keys::volume(id), before, after);
  if (was_in_use && (!is_now_in_use || has_moved)) remove_name(batch, before);
  if (is_now_in_use && (!was_in_use || has_moved)) {
    create_record(batch, keys::volume_name(after.info().name()), name_of(after));
  }
  if (ends_sessions) remove_sessions(batch, id, mds.state.sessions_of(id));
  CO_TRY(co_await mds.commit(std::move(batch)));

  if (was_in_use) mds.state.volume_names.erase(before.info().name());
  if (is_now_in_use) mds.state.volume_names[after.info().name()] = id;
  if (ends_sessions) mds.state.sessions.erase(id);
  mds.state.volumes.at(id) = std::move(after);
  co_return ok();
}

wire::VolumeInfo describe_volume(const Context& mds, const wire::VolumeRecord& volume) {
  wire::VolumeInfo info = volume.info();
  if (is_in_bin(volume)) {
    info.set_expires_unix_ns(info.deleted_unix_ns() + mds.options.deleted_volume_keep.count());
  }
  return info;
}

Error no_such_volume(std::string_view name) {
  return error(Errc::kNotFound, "there is no volume '" + std::string(name) +
                                    "'; `cairn volume list` shows those that are");
}

Status check_name_is_free(const Context& mds, std::string_view name, std::string_view undone) {
  if (!mds.state.find_volume(name)) return ok();
  return error(Errc::kAlreadyExists, "volume '" + std::string(name) +
                                         "' exists already; choose another name, or rename or "
                                         "delete that one first; " +
                                         std::string(undone));
}

Result<const wire::VolumeRecord*> find_in_bin(const Context& mds, std::string_view name,
                                              uint64_t id) {
  const wire::VolumeRecord* found = nullptr;
  for (const auto& [number, volume] : mds.state.volumes) {
    const bool is_meant = id != 0 ? number == VolumeId(id) : volume.info().name() == name;
    if (!is_meant || !is_in_bin(volume)) continue;
    if (found) {
      return error(Errc::kPreconditionFailed,
                   "several volumes in the recycle bin were called '" + std::string(name) +
                       "'; name one by --id, as `cairn volume list --deleted` shows it; nothing "
                       "was changed");
    }
    found = &volume;
  }
  if (found) return found;
  const std::string what = id != 0 ? std::to_string(id) : "'" + std::string(name) + "'";
  return error(Errc::kNotFound, "there is no volume " + what +
                                    " in the recycle bin; `cairn volume list --deleted` shows "
                                    "those that are");
}

const Session* live_session(const Context& mds, VolumeId volume) {
  const Session* live = nullptr;
  for (const auto& [id, session] : mds.state.sessions_of(volume)) {
    if (!is_live(session, mds.started_at, mds.env.clock.now(), mds.options)) continue;
    if (!live || session.record.mode() == wire::SESSION_EXCLUSIVE) live = &session;
  }
  return live;
}

}  // namespace cairn::mds
