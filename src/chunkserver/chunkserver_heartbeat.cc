// What a chunkserver tells the MDS, and what it does with the answer.
#include <algorithm>

#include "chunkserver/chunkserver.h"

namespace cairn::chunkserver {

void Chunkserver::fill_capacity(wire::HeartbeatRequest* request,
                                Result<io::DiskSpace> space) const {
  if (!space) return;
  request->set_capacity_bytes(space->capacity_bytes);
  request->set_used_bytes(space->capacity_bytes -
                          std::min(space->capacity_bytes, space->free_bytes));
}

void Chunkserver::fill_io_counts(wire::HeartbeatRequest* request) {
  const IoCounts& now = service_.io_counts();
  request->set_reads(now.reads - acknowledged_.reads);
  request->set_writes(now.writes - acknowledged_.writes);
  request->set_read_bytes(now.read_bytes - acknowledged_.read_bytes);
  request->set_written_bytes(now.written_bytes - acknowledged_.written_bytes);
  request->set_reads_us(to_us(now.read_time - acknowledged_.read_time));
  request->set_writes_us(to_us(now.write_time - acknowledged_.write_time));
}

void Chunkserver::fill_copyset(const Copyset& copyset, wire::CopysetHeartbeat* entry) const {
  const multiraft::NodeStatus status = copyset.node()->status();
  entry->set_copyset(copyset.id().value());
  entry->set_epoch(status.epoch.value());
  entry->set_term(status.term.value());
  // One that still applies its log serves nobody: whoever asks the MDS would be turned away.
  entry->set_is_leader(copyset.node()->is_ready_leader());
  for (NodeId member : status.members) entry->add_members(member.value());
  for (NodeId learner : status.learners) entry->add_learners(learner.value());
  if (auto chunks = store_->list(copyset.id())) {
    entry->set_chunks_count(static_cast<uint32_t>(chunks->size()));
  }
  entry->set_error(status.error);
  changes_.fill(copyset.id(), entry);
  if (const auto* progress = changes_.progress(copyset.id()); progress && progress->copied_bytes) {
    // More than was there at first: what is written meanwhile, and what was fetched twice.
    const uint64_t held = uint64_t{entry->chunks_count()} * options_.store.chunk_bytes;
    entry->set_copy_total_bytes(held);
    entry->set_copy_done_bytes(std::min(progress->copied_bytes, held));
  }
}

io::Task<wire::HeartbeatRequest> Chunkserver::report() {
  wire::HeartbeatRequest request;
  request.set_chunkserver(identity_.id.value());
  request.set_token(identity_.token.data(), identity_.token.size());
  request.set_address(address_.text);
  fill_capacity(&request, co_await disk_.space());
  request.set_pool_chunks_ready_count(static_cast<uint32_t>(pool_->ready_count()));
  if (host_->disk_error()) {
    request.set_disk_failed(true);
    request.set_disk_error(host_->disk_error()->message());
  }
  if (disk_probe_) {
    request.set_disk_write_us(static_cast<uint32_t>(to_us(disk_probe_->typical_write())));
  }
  fill_io_counts(&request);
  for (Copyset* copyset : copysets()) fill_copyset(*copyset, request.add_copysets());
  for (const auto& [group, reason] : damaged_copysets()) {
    wire::CopysetHeartbeat* entry = request.add_copysets();
    entry->set_copyset(group.value());
    entry->set_error(reason);
  }
  co_return request;
}

void Chunkserver::acknowledge(const wire::HeartbeatRequest& answered) {
  acknowledged_.reads += answered.reads();
  acknowledged_.writes += answered.writes();
  acknowledged_.read_bytes += answered.read_bytes();
  acknowledged_.written_bytes += answered.written_bytes();
  acknowledged_.read_time += answered.reads_us() * Duration(1us);
  acknowledged_.write_time += answered.writes_us() * Duration(1us);
  changes_.acknowledge(answered);
}

io::Task<void> Chunkserver::obey(wire::HeartbeatReply reply) {
  std::vector<wire::NodeAddress> peers(reply.peers().begin(), reply.peers().end());
  for (const auto& change : reply.changes()) {
    auto& target = peers.emplace_back();
    target.set_node(change.target());
    target.set_address(change.target_address());
  }
  co_await learn_addresses(std::move(peers));
  for (auto& change : *reply.mutable_changes()) changes_.obey(std::move(change));
  for (auto& request : *reply.mutable_create()) {
    const CopysetId id(request.copyset());
    const Status created = co_await create_copyset(std::move(request));
    if (!created) {
      env_.logger.warn("a copyset could not be created; the MDS asks again",
                       {{"copyset", id}, {"why", created.error().message()}});
    }
    if (is_stopping_) co_return;
  }
  for (const auto& stray : reply.remove()) {
    const CopysetId id(stray.copyset());
    const Status removed = co_await copysets_->remove_stray(id, Epoch(stray.epoch()));
    if (!removed && removed.code() != Errc::kNotFound) {
      env_.logger.warn("a stray replica was not removed; the MDS asks again",
                       {{"copyset", id}, {"why", removed.error().message()}});
    }
    if (is_stopping_) co_return;
  }
  co_await copysets_->make_room();
}

io::Task<void> Chunkserver::on_displaced(Error why) {
  if (host_->disk_error()) co_return;
  host_->fail_disk(why);
  peers_.erase(self());  // the next start asks before it serves
  co_await write_peers_file();
}

}  // namespace cairn::chunkserver
