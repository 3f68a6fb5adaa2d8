#include "chunkserver/copyset_set.h"

#include <algorithm>

namespace cairn::chunkserver {

namespace {

GroupId group_of(CopysetId id) {
  return GroupId(id.value());
}

Error busy(CopysetId id) {
  return error(Errc::kUnavailable, "copyset " + to_string(id) +
                                       " is being made or removed here; nothing was done, ask "
                                       "again");
}

}  // namespace

class CopysetSet::ChangeOf {
 public:
  ChangeOf(CopysetSet& set, CopysetId id) : set_(set), id_(id) {
    CHECK(set_.changing_.insert(id_).second, "one thing at a time is done to a copyset");
  }
  ~ChangeOf() { set_.changing_.erase(id_); }
  ChangeOf(const ChangeOf&) = delete;
  ChangeOf& operator=(const ChangeOf&) = delete;

 private:
  CopysetSet& set_;
  const CopysetId id_;
};

CopysetSet::CopysetSet(io::Env env, chunk::ChunkStore& store, const pool::ChunkFilePool& pool,
                       ChunkSource& source, CopysetListener& listener, Options options)
    : env_(env),
      store_(store),
      pool_(pool),
      source_(source),
      listener_(listener),
      options_(options) {}

void CopysetSet::attach(multiraft::Host& host, NodeId self) {
  CHECK(!host_, "attached once");
  host_ = &host;
  self_ = self;
  host.set_recycler(*this);
}

Copyset& CopysetSet::make(CopysetId id) {
  auto& copyset = copysets_[id];
  if (!copyset) {
    copyset = std::make_unique<Copyset>(env_, id, store_, pool_, source_, options_.chunk_bytes,
                                        options_.piece_bytes);
    copyset->set_listener(listener_);
  }
  return *copyset;
}

Result<PinnedCopyset> CopysetSet::find(CopysetId id) {
  const auto found = copysets_.find(id);
  multiraft::Node* node = found == copysets_.end() ? nullptr : host_->find(group_of(id));
  if (node) {
    auto pin = node->pin();
    if (!pin) return busy(id);
    found->second->attach(*node, self_);
    return PinnedCopyset(*found->second, std::move(*pin));
  }
  const auto& damaged = host_->out_of_service();
  if (auto reason = damaged.find(group_of(id)); reason != damaged.end()) {
    return error(Errc::kUnavailable,
                 "copyset " + to_string(id) + " is out of service here: " + reason->second);
  }
  return error(Errc::kNotFound, "copyset " + to_string(id) + " is not on this chunkserver");
}

std::vector<Copyset*> CopysetSet::all() {
  std::vector<Copyset*> all;
  all.reserve(copysets_.size());
  for (auto& [id, copyset] : copysets_) {
    if (find(id)) all.push_back(copyset.get());
  }
  return all;
}

Status CopysetSet::check_request(const wire::CreateCopysetRequest& request) const {
  bool is_member = request.joins();
  for (const auto& member : request.members()) is_member |= member.node() == self_.value();
  if (request.copyset() == 0 || !is_member) {
    return error(Errc::kInvalidArgument, "a copyset is created on its members, and chunkserver " +
                                             to_string(self_) +
                                             " is none of them; nothing was created");
  }
  return ok();
}

io::Task<Status> CopysetSet::create(wire::CreateCopysetRequest request) {
  CO_TRY(check_request(request));
  const CopysetId id(request.copyset());
  if (changing_.contains(id)) co_return busy(id);
  if (!copysets_.contains(id) && copysets_.size() >= options_.copysets_max) {
    co_return error(Errc::kOverloaded, "this disk has as many copysets as it may have");
  }
  const ChangeOf change(*this, id);
  Status made = ok();
  if (request.joins()) {
    made = co_await join(id);
  } else {
    std::vector<NodeId> members;
    for (const auto& member : request.members()) members.emplace_back(member.node());
    made = co_await found(id, std::move(members));
  }
  if (made && request.joins()) joined_.insert_or_assign(id, env_.clock.now());
  if (!made) drop_if_absent(id);
  co_return made;
}

io::Task<Status> CopysetSet::found(CopysetId id, std::vector<NodeId> members) {
  auto present = find(id);
  if (present) co_return ok();
  if (present.code() != Errc::kNotFound) co_return present.error();
  CO_TRY(co_await store_.create_copyset(id));
  CO_TRY(co_await host_->create(group_of(id), std::move(members), make(id)));
  (void)find(id);  // attaches its node
  co_return ok();
}

io::Task<Status> CopysetSet::join(CopysetId id) {
  const GroupId group = group_of(id);
  multiraft::Node* node = host_->find(group);
  if (node && node->status().error.empty()) co_return ok();
  if (node || host_->out_of_service().contains(group)) {
    CO_TRY(co_await host_->reset(group, make(id)));
    co_return ok();
  }
  const std::vector<GroupId> removed = host_->removed();
  if (std::ranges::find(removed, group) != removed.end()) CO_TRY(co_await host_->purge(group));
  CO_TRY(co_await store_.create_copyset(id));
  CO_TRY(co_await host_->join(group, make(id)));
  (void)find(id);  // attaches its node
  co_return ok();
}

void CopysetSet::drop_if_absent(CopysetId id) {
  const GroupId group = group_of(id);
  if (host_->find(group) || host_->out_of_service().contains(group)) return;
  copysets_.erase(id);
  joined_.erase(id);
}

io::Task<Status> CopysetSet::remove(CopysetId id, Epoch epoch) {
  if (changing_.contains(id)) co_return busy(id);
  if (multiraft::Node* node = host_->find(group_of(id))) {
    if (const Epoch present = node->status().epoch; present > epoch) {
      co_return error(Errc::kStaleEpoch, "copyset " + to_string(id) + " has epoch " +
                                             to_string(present) + " here, which is newer than " +
                                             to_string(epoch) + "; nothing was removed");
    }
  }
  const ChangeOf change(*this, id);
  const Status removed = co_await host_->remove(group_of(id));
  drop_if_absent(id);
  co_return removed;
}

io::Task<Status> CopysetSet::remove_stray(CopysetId id, Epoch epoch) {
  const auto joined = joined_.find(id);
  if (joined != joined_.end() && env_.clock.now() < joined->second + options_.join_grace) {
    co_return error(Errc::kUnavailable, "copyset " + to_string(id) +
                                            " was joined here lately, and may be added any moment; "
                                            "nothing was removed");
  }
  co_return co_await remove(id, epoch);
}

io::Task<void> CopysetSet::make_room() {
  if (pool_.has_space()) co_return;
  for (GroupId group : host_->removed()) {
    const CopysetId id(group.value());
    if (changing_.contains(id)) continue;
    const ChangeOf change(*this, id);
    const Status purged = co_await host_->purge(group);
    env_.logger.info("the disk is full: what a removed copyset had left is deleted early",
                     {{"copyset", id}, {"outcome", purged ? "ok" : purged.error().message()}});
    co_return;
  }
}

io::Task<Status> CopysetSet::erase(GroupId id) {
  co_return co_await store_.remove_copyset(CopysetId(id.value()));
}

}  // namespace cairn::chunkserver
