#include "bench/wal/load.h"

#include <cstdlib>
#include <ctime>

namespace cairn::bench {

double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

void remove_log(const std::string& directory) {
  const std::string command = "rm -rf '" + directory + "/" + kLogName + "'*";
  CHECK(std::system(command.c_str()) == 0);
}

Load::Load(io::real::Reactor& reactor, BufferPool& buffers, size_t depth, uint64_t entries_per_mark)
    : reactor_(reactor), depth_(depth), entries_per_mark_(entries_per_mark), last_(kGroupsCount) {
  payload_ = buffers.allocate_zeroed(kPayloadBytes);
  head_ = Buffer::copy_of(std::string(64, 'h'));
}

void Load::run(wal::Wal& log, Instant until) {
  wal_ = &log;
  until_ = until;
  fill();
  reactor_.run();
}

void Load::on_durable(wal::Lsn up_to) {
  const Instant now = reactor_.clock().now();
  while (!under_way_.empty() && under_way_.front().lsn <= up_to) {
    latency_ns_.record(static_cast<uint64_t>((now - under_way_.front().begun).count()));
    under_way_.pop_front();
    ++done_;
  }
  if (now < until_) {
    fill();
  } else if (under_way_.empty()) {
    reactor_.stop();
  }
}

void Load::on_failed(Error reason) {
  check_failed(reason.message().c_str(), __FILE__, 0);
}

void Load::fill() {
  const Instant now = reactor_.clock().now();
  while (under_way_.size() < depth_) {
    const uint64_t group = next_++ % kGroupsCount;
    const uint64_t index = ++last_[group];
    const GroupId id(group + 1);
    const wal::Entry entry{
        .term = Term(1), .index = LogIndex(index), .type = 1, .head = head_, .payload = payload_};
    under_way_.push_back({wal_->append_entry(id, entry), now});
    if (index % entries_per_mark_ == 0) {
      wal_->append_snapshot(id, {.index = LogIndex(index - 1), .term = Term(1), .data = {}}, false);
    }
  }
}

BenchLog::BenchLog(const std::string& directory, size_t depth, uint64_t entries_per_mark)
    : directory_(directory), load_(reactor_, buffers_, depth, entries_per_mark) {
  auto disk = reactor_.open_disk(directory);
  CHECK(disk.ok(), disk.ok() ? "" : disk.error().message());
  disk_ = std::move(*disk);
}

BenchLog::~BenchLog() {
  close();
  disk_.reset();
  if (!is_kept_) remove_log(directory_);
}

void BenchLog::open(const wal::WalOptions& options) {
  const io::Env env{reactor_,           reactor_.clock(), reactor_.network(),
                    reactor_.entropy(), buffers_,         rng_,
                    Logger(),           metrics_};
  wal::WalOptions named = options;
  named.directory = kLogName;
  auto opened = reactor_.run_until_done(wal::Wal::open(env, *disk_, named, load_, &recovered_));
  CHECK(opened.ok(), opened.ok() ? "" : opened.error().message());
  wal_ = std::move(*opened);
}

void BenchLog::close() {
  if (!wal_) return;
  reactor_.run_until_done(wal_->stop());
  wal_.reset();
}

void BenchLog::run_for(double seconds) {
  load_.run(*wal_, reactor_.clock().now() + Duration(static_cast<int64_t>(seconds * 1e9)));
}

}  // namespace cairn::bench
