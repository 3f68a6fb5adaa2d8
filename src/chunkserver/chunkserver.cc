#include "chunkserver/chunkserver.h"

#include "chunkserver/peers_file.h"
#include "wire/methods.h"

namespace cairn::chunkserver {

namespace {

constexpr Duration kRegisterTimeout = 2s;
constexpr Duration kRegisterRetryDelay = 200ms;

FetchOptions fetch_options(const Options& options) {
  FetchOptions fetch;
  fetch.pieces_inflight_max = options.fetches_inflight_max;
  fetch.bytes_per_second = options.fetch_bytes_per_second;
  return fetch;
}

}  // namespace

Chunkserver::Chunkserver(io::Env env, io::Disk& disk, Options options)
    : env_(env),
      disk_(disk),
      options_(std::move(options)),
      client_(env, options_.rpc_client, options_.key),
      mds_(client_, options_.mds),
      changes_(env, client_, *this),
      service_(*this),
      server_(env, options_.rpc_server, options_.key),
      heartbeat_(env, mds_, *this, options_.heartbeat_interval),
      catch_up_(*this, {.copysets_at_once_max = options_.fetches_inflight_max}),
      scan_(
          *this, client_,
          {.interval = options_.scan_interval, .bytes_per_second = options_.scan_bytes_per_second}),
      gate_(env.executor),
      peers_writer_(env.executor, 1) {}

Chunkserver::~Chunkserver() = default;

void Chunkserver::add_services() {
  using wire::Method;
  server_.add(Method::kPing, service_, &ChunkService::ping);
  server_.add(Method::kReadChunk, service_, &ChunkService::read_chunk);
  server_.add(Method::kWriteChunk, service_, &ChunkService::write_chunk);
  server_.add(Method::kDeleteChunk, service_, &ChunkService::delete_chunk);
  server_.add(Method::kCountChunks, service_, &ChunkService::count_chunks);
  server_.add(Method::kRaiseFence, service_, &ChunkService::raise_fence);
  server_.add(Method::kFetchChunk, service_, &ChunkService::fetch_chunk);
  server_.add(Method::kChunkHash, service_, &ChunkService::chunk_hash);
  server_.add(Method::kScanTable, service_, &ChunkService::scan_table);
  server_.add(Method::kReplaceBlocks, service_, &ChunkService::replace_blocks);
  server_.add(Method::kStartScan, service_, &ChunkService::start_scan);
  server_.add(Method::kScanStatus, service_, &ChunkService::scan_status);
  server_.add(Method::kCreateCopyset, service_, &ChunkService::create_copyset);
  server_.add(Method::kDeleteCopyset, service_, &ChunkService::delete_copyset);
  server_.add(Method::kAddPeer, service_, &ChunkService::add_peer);
  server_.add(Method::kRemovePeer, service_, &ChunkService::remove_peer);
  server_.add(Method::kChangePeers, service_, &ChunkService::change_peers);
  server_.add(Method::kResetPeers, service_, &ChunkService::reset_peers);
  server_.add(Method::kTransferLeader, service_, &ChunkService::transfer_leader);
  server_.add(Method::kLearnPeers, service_, &ChunkService::learn_peers);
  server_.add(Method::kGetLeader, service_, &ChunkService::get_leader);
  server_.add(Method::kSnapshotCopyset, service_, &ChunkService::snapshot_copyset);
  server_.add(Method::kCopysetStatus, service_, &ChunkService::copyset_status);
  server_.add(Method::kFetchSnapshot, *this, &Chunkserver::on_fetch_snapshot);
  server_.add_one_way(Method::kRaftBatch, *this, &Chunkserver::on_raft_batch);
}

io::Task<Status> Chunkserver::start() {
  auto inside = CO_TRY(gate_.enter());  // stop() takes apart what has been started to its end
  identity_ = CO_TRY(co_await load_or_create_identity(disk_, env_.entropy));
  if (Status loaded = co_await load_peers(disk_, &peers_); !loaded) {
    env_.logger.warn("going on without the file of peers; the MDS tells them again",
                     {{"why", loaded.error().message()}});
  }
  CO_TRY(co_await open_stores());
  add_services();
  address_ = CO_TRY(server_.listen(options_.listen));
  if (!options_.advertise.empty()) address_.text = options_.advertise;
  if (!is_admitted_here()) CO_TRY(co_await register_with_mds());
  CO_TRY(co_await open_log());
  if (is_stopping_) co_return error(Errc::kClosed, "stopped while it was starting");
  is_serving_ = true;
  heartbeat_.start();
  catch_up_.start();
  slow_disk_ = std::make_unique<SlowDiskWatch>(env_, *host_, self(), options_.slow_disk);
  slow_disk_->start();
  disk_probe_ = std::make_unique<DiskProbe>(env_, disk_, *host_, options_.disk_probe);
  disk_probe_->start();
  scan_.start();
  env_.logger.info("chunkserver serves", {{"id", identity_.id},
                                          {"address", address_.text},
                                          {"copysets", copysets_->count()},
                                          {"chunk_files_ready", pool_->ready_count()}});
  co_return ok();
}

io::Task<Status> Chunkserver::open_stores() {
  options_.pool.chunk_file_bytes = chunk::ChunkLayout(options_.store.chunk_bytes).file_bytes();
  pool_ = CO_TRY(co_await pool::ChunkFilePool::open(env_, disk_, options_.pool));
  store_ = CO_TRY(co_await chunk::InPlaceStore::open(env_, disk_, *pool_, options_.store));
  fetcher_ = std::make_unique<ChunkFetcher>(env_, client_, peers_, fetch_options(options_));
  CopysetListener& listener = *this;
  const CopysetSet::Options set_options{
      .chunk_bytes = options_.store.chunk_bytes,
      .piece_bytes = std::min(options_.fetch_bytes, options_.store.chunk_bytes),
      .copysets_max = options_.copysets_max};
  copysets_ = std::make_unique<CopysetSet>(env_, *store_, *pool_, *fetcher_, listener, set_options);
  co_return ok();
}

bool Chunkserver::is_admitted_here() const {
  const io::Address* admitted_at = identity_.id.is_none() ? nullptr : peers_.find(self());
  return admitted_at && *admitted_at == address_;
}

io::Task<Status> Chunkserver::register_with_mds() {
  wire::RegisterChunkserverRequest request;
  request.set_address(address_.text);
  request.set_zone(options_.zone);
  request.set_server(options_.server);
  request.set_token(identity_.token.data(), identity_.token.size());
  request.set_capacity_bytes(CO_TRY(co_await disk_.space()).capacity_bytes);
  bool told = false;
  for (;;) {
    auto reply = co_await mds_.register_chunkserver(request, kRegisterTimeout);
    if (is_stopping_) co_return error(Errc::kClosed, "stopped before the MDS knew this disk");
    if (reply) {
      identity_.id = ChunkserverId(reply->chunkserver());
      break;
    }
    const bool will_pass = reply.code() == Errc::kUnavailable || reply.code() == Errc::kTimeout ||
                           reply.code() == Errc::kOverloaded || reply.code() == Errc::kNotLeader;
    if (!will_pass) co_return reply.error().within("registering this disk");
    if (!std::exchange(told, true)) {
      env_.logger.warn("waiting for the MDS to register this disk",
                       {{"why", reply.error().message()}});
    }
    co_await env_.clock.sleep(kRegisterRetryDelay);
    if (is_stopping_) co_return error(Errc::kClosed, "stopped before the MDS knew this disk");
  }
  if (identity_.id.is_none()) co_return error(Errc::kProtocol, "the MDS gave the id 0");
  CO_TRY(co_await save_identity(disk_, identity_));
  peers_.set(self(), address_);
  co_return co_await save_peers(disk_, &peers_);
}

io::Task<Status> Chunkserver::open_log() {
  // Chunks come out of the log. With them and without it, what this disk has voted and acknowledged
  // is forgotten: it must not take part under its old name (pitfall 19).
  for (CopysetId copyset : store_->copysets()) {
    options_.wal.must_exist |= !CO_TRY(store_->list(copyset)).empty();
  }
  host_ = std::make_unique<multiraft::Host>(env_, NodeId(identity_.id.value()), client_, peers_,
                                            options_.raft);
  copysets_->attach(*host_, NodeId(identity_.id.value()));
  CO_TRY(co_await host_->open(disk_, options_.wal, [this](GroupId group) {
    return &copysets_->make(CopysetId(group.value()));
  }));
  (void)copysets_->all();  // attaches their nodes, before anything is received
  co_return ok();
}

Status Chunkserver::health() const {
  if (!is_serving_ || is_stopping_) {
    return error(Errc::kUnavailable,
                 is_stopping_ ? "this chunkserver is stopping" : "this chunkserver is starting");
  }
  if (const auto& failure = host_->disk_error()) return error(failure->code(), failure->message());
  return ok();
}

Result<PinnedCopyset> Chunkserver::find_copyset(CopysetId id) {
  if (!is_serving_ || is_stopping_) TRY(health());
  return copysets_->find(id);
}

std::vector<Copyset*> Chunkserver::copysets() {
  return copysets_ && host_ ? copysets_->all() : std::vector<Copyset*>();
}

const std::map<GroupId, std::string>& Chunkserver::damaged_copysets() const {
  static const std::map<GroupId, std::string> kNone;
  return host_ ? host_->out_of_service() : kNone;
}

bool Chunkserver::learn_address(const wire::NodeAddress& peer) {
  if (peer.node() == 0 || peer.node() == identity_.id.value() || peer.address().empty()) {
    return false;
  }
  return peers_.set(NodeId(peer.node()), io::Address{peer.address()});
}

io::Task<Status> Chunkserver::create_copyset(wire::CreateCopysetRequest request) {
  auto inside = CO_TRY(gate_.enter());
  if (!is_serving_ || is_stopping_) CO_TRY(health());
  co_await learn_addresses({request.members().begin(), request.members().end()});
  co_return co_await copysets_->create(std::move(request));
}

io::Task<Status> Chunkserver::remove_copyset(CopysetId id, Epoch epoch) {
  auto inside = CO_TRY(gate_.enter());
  if (!is_serving_ || is_stopping_) CO_TRY(health());
  co_return co_await copysets_->remove(id, epoch);
}

void Chunkserver::on_raft_batch(rpc::Call<wire::RaftBatch> batch) {
  if (is_serving_ && !is_stopping_) host_->on_batch(std::move(batch));
}

io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> Chunkserver::on_fetch_snapshot(
    rpc::Call<wire::FetchSnapshotRequest> call) {
  if (!is_serving_ || is_stopping_) co_return error(Errc::kUnavailable, "not serving");
  co_return co_await host_->on_fetch_snapshot(std::move(call));
}

void Chunkserver::report(const Error& failure) {
  if (failure.code() == Errc::kIo && host_) {
    host_->fail_disk(failure);
    heartbeat_.hurry();
  } else if (failure.code() == Errc::kCorrupt) {
    env_.logger.error("rotten data was found and not served", {{"what", failure.message()}});
  }
}

io::Task<void> Chunkserver::learn_addresses(std::vector<wire::NodeAddress> peers) {
  bool news = false;
  for (const auto& peer : peers) news |= learn_address(peer);
  if (news) co_await write_peers_file();
}

io::Task<void> Chunkserver::write_peers_file() {
  auto turn = co_await peers_writer_.acquire();
  if (Status saved = co_await save_peers(disk_, &peers_); !saved) {
    env_.logger.warn("the file of peers was not written", {{"why", saved.error().message()}});
  }
}

io::Task<void> Chunkserver::leave_groups() {
  if (!is_serving_ || host_->disk_error()) co_return;
  const size_t count = co_await hand_over_leaderships(env_, host_.get(), options_.hand_over);
  env_.logger.info("leaderships were handed over before the stop", {{"count", count}});
}

io::Task<void> Chunkserver::stop() {
  changes_.begin_stop();
  if (disk_probe_) disk_probe_->stop();
  co_await leave_groups();
  is_stopping_ = true;
  if (fetcher_) fetcher_->begin_stop();
  co_await heartbeat_.stop();
  co_await gate_.close();
  co_await catch_up_.stop();
  co_await scan_.stop();
  // The groups first: they tell the calls that wait on them, which the server then waits for.
  if (host_) co_await host_->stop();
  if (slow_disk_) co_await slow_disk_->stop();
  co_await changes_.stop();
  co_await server_.stop();
  co_await client_.stop();
  if (store_) co_await store_->stop();
  if (pool_) co_await pool_->stop();
  env_.logger.info("chunkserver stopped", {{"id", identity_.id}});
}

}  // namespace cairn::chunkserver
