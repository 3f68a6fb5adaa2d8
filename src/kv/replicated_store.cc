#include "kv/replicated_store.h"

#include "kv/command.h"
#include "wire/methods.h"

namespace cairn::kv {

namespace {

/// One group in a process.
const GroupId kGroup{1};
constexpr size_t kMembersMax = 7;

}  // namespace

multiraft::HostOptions metadata_raft_options() {
  multiraft::HostOptions options;
  options.cached_payload_bytes_max = 32 * kMiB;
  return options;
}

/// What the active process of one term reads and writes.
class ReplicatedStore::TermStore final : public MetaStore {
 public:
  TermStore(ReplicatedStore& store, Term term) : store_(store), term_(term) {}

  io::Task<Result<std::optional<std::string>>> get(std::string key) override {
    CO_TRY(co_await store_.confirm(term_.value()));
    co_return co_await store_.local_.get(std::move(key));
  }
  io::Task<Result<std::vector<KeyValue>>> scan(std::string prefix, size_t limit,
                                               std::string after) override {
    CO_TRY(co_await store_.confirm(term_.value()));
    co_return co_await store_.local_.scan(std::move(prefix), limit, std::move(after));
  }
  io::Task<Status> commit(WriteBatch batch) override {
    return store_.commit_in(term_, std::move(batch));
  }

 private:
  ReplicatedStore& store_;
  const Term term_;
};

ReplicatedStore::ReplicatedStore(io::Env env, io::Disk& disk, LocalStore& local,
                                 rpc::Client& client, ReplicatedOptions options)
    : env_(env),
      disk_(disk),
      local_(local),
      options_(std::move(options)),
      machine_(env, local,
               {.leads_in =
                    [this](Term term) {
                      term_ = term;
                      changed_.notify_all();
                    },
                .failed =
                    [this](const Error& reason) {
                      failure_ = reason;
                      term_ = Term();
                      changed_.notify_all();
                    }}),
      changed_(env.executor) {
  for (const auto& [id, address] : options_.members) peers_.set(id, address);
  host_ = std::make_unique<multiraft::Host>(env, options_.self, client, peers_, options_.raft);
}

ReplicatedStore::~ReplicatedStore() = default;

void ReplicatedStore::add_to(rpc::Server& server) {
  server.add_one_way(wire::Method::kRaftBatch, *this, &ReplicatedStore::on_raft_batch);
  server.add(wire::Method::kFetchSnapshot, *this, &ReplicatedStore::on_fetch_snapshot);
}

void ReplicatedStore::on_raft_batch(rpc::Call<wire::RaftBatch> batch) {
  if (is_open_ && !is_stopping_) host_->on_batch(std::move(batch));
}

io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> ReplicatedStore::on_fetch_snapshot(
    rpc::Call<wire::FetchSnapshotRequest> call) {
  if (!is_open_ || is_stopping_) co_return error(Errc::kUnavailable, "not serving");
  co_return co_await host_->on_fetch_snapshot(std::move(call));
}

Status ReplicatedStore::check_options() const {
  if (!options_.members.contains(options_.self)) {
    return error(Errc::kInvalidArgument,
                 "the list of members does not name this one, " + to_string(options_.self));
  }
  if (options_.members.size() > kMembersMax || options_.members.size() % 2 == 0) {
    return error(Errc::kInvalidArgument,
                 "a group has 1, 3, 5 or 7 members, not " +
                     std::to_string(options_.members.size()) +
                     ": of an even number more have to be up, and no more may fail");
  }
  return ok();
}

io::Task<Status> ReplicatedStore::start() {
  CO_TRY(check_options());
  wal::WalOptions wal = options_.wal;
  // With the state and without the log, what this member has voted and acknowledged is forgotten.
  wal.must_exist = !CO_TRY(local_.mark()).empty();
  CO_TRY(co_await host_->open(disk_, wal, [this](GroupId) { return &machine_; }));
  is_open_ = true;
  CO_TRY(co_await open_group());
  env_.logger.info("takes part in the metadata's group",
                   {{"member", options_.self}, {"members", options_.members.size()}});
  co_return ok();
}

io::Task<Status> ReplicatedStore::open_group() {
  if (const auto damaged = host_->out_of_service().find(kGroup);
      damaged != host_->out_of_service().end()) {
    co_return error(Errc::kCorrupt, "this member is damaged and takes no part: " + damaged->second +
                                        "; see docs/operations.md, \"A lost MDS\"");
  }
  node_ = host_->find(kGroup);
  if (node_) co_return ok();
  if (!options_.is_new) {
    co_return error(Errc::kNotFound,
                    "this member has no log of the group. If the group is new, start each of its "
                    "members with --init, once; if the member has lost its data, see "
                    "docs/operations.md, \"A lost MDS\"");
  }
  std::vector<NodeId> voters;
  for (const auto& [id, address] : options_.members) voters.push_back(id);
  node_ = CO_TRY(co_await host_->create(kGroup, std::move(voters), machine_));
  // From here on the log has to be there.
  CO_TRY(co_await local_.apply({}, encode_applied(0)));
  co_return co_await local_.sync();
}

io::Task<void> ReplicatedStore::stop() {
  is_stopping_ = true;
  co_await host_->stop();
  term_ = Term();
  changed_.notify_all();
}

Status ReplicatedStore::health() const {
  if (!is_running()) {
    return error(Errc::kUnavailable,
                 is_stopping_ ? "this MDS is stopping" : "this MDS is starting");
  }
  if (failure_) return *failure_;
  return ok();
}

Error ReplicatedStore::not_leader() const {
  const std::string active = active_address();
  return error(Errc::kNotLeader, active.empty()
                                     ? "this MDS is not the active one, and none is known"
                                     : "this MDS is not the active one; that is at " + active);
}

io::Task<Result<std::optional<std::string>>> ReplicatedStore::get(std::string key) {
  CO_TRY(co_await confirm(term_.value()));
  co_return co_await local_.get(std::move(key));
}

io::Task<Result<std::vector<KeyValue>>> ReplicatedStore::scan(std::string prefix, size_t limit,
                                                              std::string after) {
  CO_TRY(co_await confirm(term_.value()));
  co_return co_await local_.scan(std::move(prefix), limit, std::move(after));
}

io::Task<Status> ReplicatedStore::commit(WriteBatch batch) {
  return commit_in(term_, std::move(batch));
}

io::Task<Status> ReplicatedStore::commit_in(Term term, WriteBatch batch) {
  CO_TRY(check_batch(batch));
  if (!is_running()) CO_TRY(health());
  if (term.is_zero() || term != term_) co_return not_leader();
  auto encoded = encode_command(batch, env_.buffers);
  if (encoded.payload.size_bytes() > options_.wal.segment_bytes / 2) {
    co_return error(Errc::kInvalidArgument,
                    "the batch does not fit into a segment of the log; "
                    "nothing was written");
  }
  const auto index =
      co_await node_->apply(std::move(encoded.head), std::move(encoded.payload), term);
  if (!index.ok()) co_return index.code() == Errc::kNotLeader ? not_leader() : index.error();
  co_return ok();
}

io::Task<Status> ReplicatedStore::confirm(uint64_t term) {
  if (!is_running()) CO_TRY(health());
  if (term == 0 || term != term_.value()) co_return not_leader();
  const Status read = co_await node_->read_barrier();
  if (!read.ok()) co_return read.code() == Errc::kNotLeader ? not_leader() : read.error();
  if (term != term_.value()) co_return not_leader();
  co_return ok();
}

std::unique_ptr<MetaStore> ReplicatedStore::store_of(uint64_t term) {
  return std::make_unique<TermStore>(*this, Term(term));
}

io::Task<void> ReplicatedStore::resign() {
  if (!is_running() || term_.is_zero() || options_.members.size() == 1) co_return;
  const Status handed = co_await node_->transfer_leadership();
  if (!handed.ok()) {
    env_.logger.warn("no other MDS took over", {{"why", handed.error().message()}});
  }
}

std::string ReplicatedStore::active_address() const {
  if (!is_running()) return {};
  const io::Address* address = peers_.find(node_->leader());
  return address ? address->text : std::string();
}

std::vector<Election::Member> ReplicatedStore::members() const {
  std::vector<Member> members;
  const NodeId leader = is_running() ? node_->leader() : NodeId();
  for (const auto& [id, address] : options_.members) {
    Member& member = members.emplace_back();
    member.name = to_string(id);
    member.address = address.text;
    member.is_active = id == leader;
    if (id == options_.self) member.reach = Reach::kReachable;
    if (leader != options_.self || id == options_.self) continue;
    member.reach = host_->is_answered_by(id) ? Reach::kReachable : Reach::kSilent;
  }
  return members;
}

}  // namespace cairn::kv
