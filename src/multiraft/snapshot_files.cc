#include "multiraft/snapshot_files.h"

#include <algorithm>
#include <array>

#include "base/crc32c.h"
#include "wire/methods.h"

namespace cairn::multiraft {

namespace {

constexpr std::string_view kDirectory = "snapshots";
constexpr std::string_view kPartSuffix = ".part";
/// One that has not asked for so long has gone away.
constexpr Duration kSendingIdleMax = std::chrono::seconds(10);
constexpr uint32_t kAttemptsMax = 5;
/// Of a file at the start.
constexpr int kReadTriesMax = 4;
constexpr Duration kReadRetryDelay = std::chrono::milliseconds(100);

std::string path_of(GroupId group, LogIndex index) {
  return std::string(kDirectory) + "/" + to_string(group) + "-" + to_string(index);
}

}  // namespace

SnapshotFiles::SnapshotFiles(io::Env env, io::Disk& disk, NodeId self, rpc::Client& client,
                             const PeerDirectory& peers, const HostOptions& options)
    : env_(env),
      disk_(disk),
      self_(self),
      client_(client),
      peers_(peers),
      options_(options),
      sent_bytes_(env.metrics.counter("cairn_raft_snapshot_sent_bytes_total",
                                      "bytes of snapshots' files that other hosts fetched")),
      received_bytes_(env.metrics.counter("cairn_raft_snapshot_received_bytes_total",
                                          "bytes of snapshots' files fetched from other hosts")) {
  CHECK(options_.snapshot_piece_bytes > 0 && options_.snapshot_send_bytes_per_second > 0);
}

io::Task<Status> SnapshotFiles::open(std::set<Key> named) {
  auto names = co_await disk_.list(std::string(kDirectory));
  if (names.code() == Errc::kNotFound) co_return ok();
  if (!names) co_return names.error();
  has_directory_ = true;
  std::map<std::string, Key> wanted;
  for (const Key& key : named) wanted.emplace(path_of(key.first, key.second), key);
  for (const std::string& name : *names) {
    const std::string path = std::string(kDirectory) + "/" + name;
    const auto found = wanted.find(path);
    if (found == wanted.end()) {
      CO_TRY(co_await disk_.remove(path));
      continue;
    }
    auto file = CO_TRY(co_await disk_.open(path, {.read_only = true}));
    complete_[found->second] = CO_TRY(co_await file->size());
  }
  co_return ok();
}

io::Task<Status> SnapshotFiles::make_directory() {
  if (has_directory_) co_return ok();
  CO_TRY(co_await disk_.make_directory(std::string(kDirectory)));
  CO_TRY(co_await disk_.sync_directory("."));
  has_directory_ = true;
  co_return ok();
}

io::Task<Result<SnapshotFile>> SnapshotFiles::save(GroupId group, LogIndex index, Buffer data) {
  CO_TRY(co_await make_directory());
  const SnapshotFile file{
      .index = index, .size_bytes = data.size_bytes(), .crc = crc32c(data.view())};
  CO_TRY(co_await io::replace_file(disk_, path_of(group, index), std::move(data)));
  complete_[{group, index}] = file.size_bytes;
  co_return file;
}

io::Task<Result<Buffer>> SnapshotFiles::load(GroupId group, SnapshotFile file) {
  auto read =
      co_await io::read_file(disk_, path_of(group, file.index), options_.snapshot_bytes_max);
  // What was read in vain once may be read the next time; the replica is not to be lost for it.
  for (int tries = 1; read.code() == Errc::kIo && tries < kReadTriesMax; ++tries) {
    env_.logger.warn("a snapshot's file is read again",
                     {{"group", group}, {"why", read.error().message()}});
    co_await env_.clock.sleep(kReadRetryDelay);
    read = co_await io::read_file(disk_, path_of(group, file.index), options_.snapshot_bytes_max);
  }
  Buffer data = CO_TRY(std::move(read));
  if (data.size_bytes() != file.size_bytes || crc32c(data.view()) != file.crc) {
    co_return error(Errc::kCorrupt, "the file of snapshot " + to_string(file.index) + " of group " +
                                        to_string(group) + " is damaged");
  }
  co_return data;
}

io::Task<void> SnapshotFiles::remove_before(GroupId group, LogIndex index) {
  std::vector<LogIndex> old;
  for (auto at = complete_.lower_bound({group, LogIndex()});
       at != complete_.end() && at->first < Key{group, index}; ++at) {
    if (!is_sent(group, at->first.second)) old.push_back(at->first.second);
  }
  for (LogIndex each : old) {
    complete_.erase({group, each});
    if (Status removed = co_await disk_.remove(path_of(group, each)); !removed) {
      // The next open() finds it.
      env_.logger.warn("an old snapshot's file was not deleted",
                       {{"group", group}, {"why", removed.error().message()}});
    }
  }
}

// ---- the one that gives

bool SnapshotFiles::is_sent(GroupId group, LogIndex index) const {
  return std::ranges::any_of(sending_, [&](const auto& each) {
    return each.first.second == group && each.second.index == index &&
           each.second.asked_at + kSendingIdleMax > env_.clock.now();
  });
}

Status SnapshotFiles::admit(GroupId group, LogIndex index, NodeId to) {
  const Instant now = env_.clock.now();
  std::erase_if(sending_,
                [&](const auto& each) { return each.second.asked_at + kSendingIdleMax <= now; });
  const std::pair<NodeId, GroupId> key{to, group};
  if (!sending_.contains(key) && sending_.size() >= options_.snapshot_sends_max) {
    return error(Errc::kOverloaded, "too many snapshots are fetched from here; come again");
  }
  sending_[key] = {.index = index, .asked_at = now};
  return ok();
}

io::Task<Status> SnapshotFiles::wait_turn(uint64_t bytes) {
  const Instant now = env_.clock.now();
  const Instant start = std::max(now, send_free_at_);
  if (start > now + options_.snapshot_piece_timeout / 2) {
    co_return error(Errc::kOverloaded, "snapshots leave here at the allowed rate; come again");
  }
  const auto cost_ns = bytes * 1'000'000'000 / options_.snapshot_send_bytes_per_second;
  send_free_at_ = start + Duration(static_cast<int64_t>(cost_ns));
  if (start > now) co_await env_.clock.sleep_until(start);
  co_return ok();
}

io::Task<Result<Buffer>> SnapshotFiles::read_piece(GroupId group, LogIndex index,
                                                   uint64_t offset_bytes, uint32_t bytes_max,
                                                   NodeId to) {
  const auto found = complete_.find({group, index});
  if (found == complete_.end()) co_return error(Errc::kNotFound, "there is no such snapshot here");
  const uint64_t size_bytes = found->second;
  if (offset_bytes >= size_bytes || bytes_max == 0) {
    co_return error(Errc::kInvalidArgument, "a piece beyond the snapshot; nothing was read");
  }
  CO_TRY(admit(group, index, to));
  const uint64_t piece_bytes =
      std::min<uint64_t>({bytes_max, options_.snapshot_piece_bytes, size_bytes - offset_bytes});
  CO_TRY(co_await wait_turn(piece_bytes));
  auto file = CO_TRY(co_await disk_.open(path_of(group, index), {.read_only = true}));
  Buffer piece = Buffer::allocate(piece_bytes);
  CO_TRY(co_await file->read(offset_bytes, piece.mutable_view()));
  sent_bytes_.add(piece_bytes);
  if (offset_bytes + piece_bytes == size_bytes) sending_.erase({to, group});
  co_return piece;
}

// ---- the one that gets

io::Task<Status> SnapshotFiles::fetch(GroupId group, SnapshotFile file, NodeId source) {
  if (contains(group, file.index)) co_return ok();
  if (file.size_bytes == 0 || file.size_bytes > options_.snapshot_bytes_max) {
    co_return error(Errc::kProtocol, "a snapshot of a size that none has");
  }
  if (receiving_count_ >= options_.snapshot_receives_max) {
    co_return error(Errc::kOverloaded, "too many snapshots are fetched to here; nothing was done");
  }
  ++receiving_count_;
  Receipt& receipt = receipts_[group];
  if (receipt.file != file) receipt = {.file = file};
  Status received = co_await receive(group, file, source, &receipt);
  if (received) received = co_await complete(group, file);
  --receiving_count_;
  const bool may_go_on = received.code() == Errc::kUnavailable ||
                         received.code() == Errc::kTimeout || received.code() == Errc::kOverloaded;
  if (!may_go_on) receipts_.erase(group);
  co_return received;
}

io::Task<Status> SnapshotFiles::receive(GroupId group, SnapshotFile file, NodeId source,
                                        Receipt* receipt) {
  CO_TRY(co_await make_directory());
  auto part = CO_TRY(
      co_await disk_.open(path_of(group, file.index) + std::string(kPartSuffix), {.create = true}));
  if (receipt->have_bytes == 0) CO_TRY(co_await part->truncate(0));
  uint32_t attempt = 0;
  while (receipt->have_bytes < file.size_bytes) {
    auto piece = co_await ask(group, file, source, receipt->have_bytes);
    if (is_stopping_) co_return error(Errc::kClosed, "stopping");
    if (!piece) {
      const bool is_passing = piece.code() == Errc::kUnavailable ||
                              piece.code() == Errc::kTimeout || piece.code() == Errc::kOverloaded;
      if (!is_passing || ++attempt >= kAttemptsMax) co_return piece.error();
      co_await env_.clock.sleep(options_.snapshot_retry_delay);
      if (is_stopping_) co_return error(Errc::kClosed, "stopping");
      continue;
    }
    attempt = 0;
    if (piece->empty() || piece->size_bytes() > file.size_bytes - receipt->have_bytes) {
      co_return error(Errc::kProtocol, "a piece of a snapshot has a size that it cannot have");
    }
    const std::array<ByteView, 1> parts{piece->view()};
    CO_TRY(co_await part->write(receipt->have_bytes, parts, io::Durability::kCached));
    receipt->have_bytes += piece->size_bytes();
    received_bytes_.add(piece->size_bytes());
  }
  co_return co_await part->sync_data();
}

io::Task<Result<Buffer>> SnapshotFiles::ask(GroupId group, SnapshotFile file, NodeId source,
                                            uint64_t offset_bytes) {
  const io::Address* address = peers_.find(source);
  if (!address) co_return error(Errc::kUnavailable, "the leader's address is not known");
  wire::FetchSnapshotRequest request;
  request.set_group(group.value());
  request.set_index(file.index.value());
  request.set_offset_bytes(offset_bytes);
  request.set_piece_bytes_max(options_.snapshot_piece_bytes);
  request.set_to_node(self_.value());
  auto answer = CO_TRY(co_await client_.call<wire::FetchSnapshotReply>(
      *address, wire::Method::kFetchSnapshot, request, {}, options_.snapshot_piece_timeout));
  if (answer.attachment.empty()) co_return Buffer();
  co_return std::move(answer.attachment.front());
}

io::Task<Status> SnapshotFiles::complete(GroupId group, SnapshotFile file) {
  const std::string path = path_of(group, file.index), part = path + std::string(kPartSuffix);
  auto data = CO_TRY(co_await io::read_file(disk_, part, options_.snapshot_bytes_max));
  if (data.size_bytes() != file.size_bytes || crc32c(data.view()) != file.crc) {
    CO_TRY(co_await disk_.remove(part));
    co_return error(Errc::kProtocol, "what came is not the snapshot that was announced");
  }
  CO_TRY(co_await disk_.rename(part, path));
  CO_TRY(co_await disk_.sync_directory(std::string(kDirectory)));
  complete_[{group, file.index}] = file.size_bytes;
  co_return ok();
}

}  // namespace cairn::multiraft
