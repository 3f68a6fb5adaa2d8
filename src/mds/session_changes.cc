#include "mds/session_changes.h"

#include "mds/keys.h"
#include "mds/record.h"

namespace cairn::mds {

SessionChange::SessionChange(const Context& mds, VolumeId volume)
    : before_(mds.state.volumes.at(volume)), volume_(before_), mds_(mds) {
  CHECK(is_in_use(before_));
}

void SessionChange::raise_fence() {
  CHECK(volume_.info().fence() == before_.info().fence(), "raised once a batch");
  CHECK(begun_.empty(), "a session begins with the raised fence");
  volume_.mutable_info()->set_fence(before_.info().fence() + 1);
}

void SessionChange::end(SessionId id) {
  const Session* session = mds_.state.find_session(VolumeId(before_.info().id()), id);
  CHECK(session != nullptr);
  ended_.push_back(session->record);
}

void SessionChange::begin(wire::SessionRecord record) {
  record.set_volume(before_.info().id());
  record.set_fence(volume_.info().fence());
  begun_.push_back(std::move(record));
}

io::Task<Status> SessionChange::commit(Context& mds) {
  const VolumeId volume(before_.info().id());
  kv::WriteBatch batch;
  const std::string volume_key = keys::volume(volume);
  // Required even where it does not change: it says that nobody else fenced or deleted it.
  batch.require(volume_key, encode_record(volume_key, before_));
  if (volume_.info().fence() != before_.info().fence()) put_record(batch, volume_key, volume_);
  for (const auto& record : ended_) {
    const std::string key = keys::session(volume, SessionId(record.id()));
    batch.require(key, encode_record(key, record));
    batch.remove(key);
  }
  for (const auto& record : begun_) {
    create_record(batch, keys::session(volume, SessionId(record.id())), record);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.volumes.at(volume) = volume_;
  for (const auto& record : ended_) mds.state.erase_session(volume, SessionId(record.id()));
  for (const auto& record : begun_) {
    mds.state.set_session({.record = record, .renewed_at = mds.env.clock.now()});
  }
  co_return ok();
}

}  // namespace cairn::mds
