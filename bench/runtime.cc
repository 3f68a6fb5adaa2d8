// cairn_bench_runtime: what the reactor costs above plain system calls, measured side by side: an
// echo of 4 KiB between two processes, and a durable 4 KiB write. docs/adr/0001-runtime.md quotes
// it.
//
//   cairn_bench_runtime [DIR [SECONDS]]     DIR: on the disk to measure; SECONDS: each measurement
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "bench/floor.h"
#include "io/real/reactor.h"

namespace cairn::bench {
namespace {

constexpr size_t kFileBytes = 64 << 20;
constexpr int kRounds = 20;
const char* const kFileName = "runtime-bench";

double cpu_seconds(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

struct Samples {
  std::vector<float> us;
  double cpu_seconds = 0;
  double seconds = 0;

  void add(Duration d) { us.push_back(static_cast<float>(d.count()) / 1000); }
  void merge(const Samples& other) {
    us.insert(us.end(), other.us.begin(), other.us.end());
    cpu_seconds += other.cpu_seconds;
    seconds += other.seconds;
  }
  void print(const char* what, size_t depth) {
    if (us.empty()) return;
    std::ranges::sort(us);
    const auto count = static_cast<double>(us.size());
    std::printf("%-28s depth %4zu   median %8.1f us   p99 %8.1f us   %9.0f/s   CPU %6.2f us each\n",
                what, depth, us[us.size() / 2], us[us.size() * 99 / 100], count / seconds,
                cpu_seconds * 1e6 / count);
  }
};

/// Sends blocks back as they come.
class EchoServer : public io::ConnectionHandler {
 public:
  explicit EchoServer(std::unique_ptr<io::Connection> connection)
      : connection_(std::move(connection)) {
    connection_->start(*this);
  }
  size_t on_bytes(ByteView bytes) override {
    connection_->send(Buffer::copy_of(bytes));
    return bytes.size();
  }
  void on_closed(Error) override { ::_exit(0); }

 private:
  std::unique_ptr<io::Connection> connection_;
};

/// Keeps `depth` blocks under way until the time is over.
class EchoClient : public io::ConnectionHandler {
 public:
  EchoClient(io::real::Reactor& reactor, std::unique_ptr<io::Connection> connection, size_t depth)
      : reactor_(reactor),
        connection_(std::move(connection)),
        block_(Buffer::allocate(kBlockBytes)) {
    std::ranges::fill(block_.mutable_view(), std::byte{1});
    connection_->start(*this);
    for (size_t i = 0; i < depth; ++i) send();
  }
  size_t on_bytes(ByteView bytes) override {
    const size_t blocks_count = bytes.size() / kBlockBytes;
    const Instant now = reactor_.clock().now();
    for (size_t i = 0; i < blocks_count; ++i) {
      samples.add(now - sent_at_.front());
      sent_at_.pop_front();
      send();
    }
    return blocks_count * kBlockBytes;
  }
  void on_closed(Error) override { reactor_.stop(); }
  Samples samples;

 private:
  void send() {
    sent_at_.push_back(reactor_.clock().now());
    connection_->send(block_);
  }
  io::real::Reactor& reactor_;
  std::unique_ptr<io::Connection> connection_;
  Buffer block_;
  std::deque<Instant> sent_at_;
};

[[noreturn]] void serve_echo(int port_fd) {
  io::real::Reactor reactor;
  std::vector<std::unique_ptr<EchoServer>> servers;
  auto listener =
      reactor.network().listen({"127.0.0.1:0"}, [&](std::unique_ptr<io::Connection> connection) {
        servers.push_back(std::make_unique<EchoServer>(std::move(connection)));
      });
  CHECK(listener.ok());
  const std::string address = (*listener)->address().text;
  CHECK(::write(port_fd, address.data(), address.size()) > 0);
  ::close(port_fd);
  reactor.run();
  ::_exit(0);
}

void bench_echo(size_t depth, double seconds) {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  const double children_before = cpu_seconds(RUSAGE_CHILDREN);
  std::fflush(stdout);
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) serve_echo(ends[1]);
  ::close(ends[1]);
  std::array<char, 64> address{};
  CHECK(::read(ends[0], address.data(), address.size() - 1) > 0);
  ::close(ends[0]);
  io::real::Reactor reactor;
  auto connection =
      reactor.run_until_done(reactor.network().connect({std::string(address.data())}, 5s));
  CHECK(connection.ok());
  io::Timer stop(reactor.clock(), [&] { reactor.stop(); });
  stop.arm_after(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
  const double before = cpu_seconds(RUSAGE_SELF);
  Samples samples;
  {
    EchoClient client(reactor, std::move(*connection), depth);
    reactor.run();
    samples = std::move(client.samples);
  }
  ::waitpid(child, nullptr, 0);
  samples.seconds = seconds;
  samples.cpu_seconds =
      cpu_seconds(RUSAGE_SELF) - before + cpu_seconds(RUSAGE_CHILDREN) - children_before;
  samples.print("echo, reactor", depth);
}

struct Writing {
  io::real::Reactor& reactor;
  io::File& file;
  BufferPool pool{};
  Samples samples{};
  Instant end{};
  uint64_t next_block = 0;
  size_t running = 0;
};

io::Task<void> write_blocks(Writing* writing) {
  const Buffer block = writing->pool.allocate_zeroed(kBlockBytes);
  const std::array<ByteView, 1> parts{block.view()};
  Instant before = writing->reactor.clock().now();
  while (before < writing->end) {
    const uint64_t offset_bytes = writing->next_block++ % (kFileBytes / kBlockBytes) * kBlockBytes;
    const Status status =
        co_await writing->file.write(offset_bytes, parts, io::Durability::kSynced);
    CHECK(status.ok());
    const Instant after = writing->reactor.clock().now();
    writing->samples.add(after - before);
    before = after;
  }
  if (--writing->running == 0) writing->reactor.stop();
}

Samples reactor_writes(io::real::Reactor& reactor, io::Disk& disk, size_t depth, double seconds) {
  io::OpenOptions options;
  options.access = io::Access::kDirect;
  auto file = reactor.run_until_done(disk.open(kFileName, options));
  CHECK(file.ok());
  Writing writing{.reactor = reactor, .file = **file};
  writing.end = reactor.clock().now() +
                std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  const double before = cpu_seconds(RUSAGE_SELF);
  writing.running = depth;
  for (size_t i = 0; i < depth; ++i) reactor.spawn(write_blocks(&writing));
  reactor.run();
  writing.samples.seconds = seconds;
  writing.samples.cpu_seconds = cpu_seconds(RUSAGE_SELF) - before;
  return std::move(writing.samples);
}

/// The same by one blocking call after the other.
Samples plain_writes(const std::string& path, io::Clock& clock, double seconds) {
  const int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
  CHECK(fd >= 0);
  BufferPool pool;
  const Buffer block = pool.allocate_zeroed(kBlockBytes);
  const double cpu_before = cpu_seconds(RUSAGE_SELF);
  Samples samples;
  Instant before = clock.now();
  const Instant end =
      before + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  for (uint64_t i = 0; before < end; ++i) {
    const auto offset = static_cast<off_t>(i % (kFileBytes / kBlockBytes) * kBlockBytes);
    CHECK(::pwrite(fd, block.data(), kBlockBytes, offset) == kBlockBytes);
    const Instant after = clock.now();
    samples.add(after - before);
    before = after;
  }
  ::close(fd);
  samples.seconds = seconds;
  samples.cpu_seconds = cpu_seconds(RUSAGE_SELF) - cpu_before;
  return samples;
}

void bench_writes(const std::string& directory, double seconds) {
  io::real::Reactor reactor;
  auto disk = reactor.open_disk(directory);
  CHECK(disk.ok(), disk.error().message());
  io::OpenOptions options;
  options.create = true;
  auto file = reactor.run_until_done((*disk)->open(kFileName, options));
  CHECK(file.ok(), file.error().message());
  const std::vector<std::byte> zeros(kFileBytes);
  const std::array<ByteView, 1> parts{ByteView(zeros)};
  CHECK(reactor.run_until_done((*file)->write(0, parts, io::Durability::kSynced)).ok());
  file->reset();
  // In short turns: the disk's mood changes, and must not favour one of the two.
  Samples plain;
  Samples ours;
  for (int round = 0; round < kRounds; ++round) {
    plain.merge(plain_writes(directory + "/" + kFileName, reactor.clock(), 2 * seconds / kRounds));
    ours.merge(reactor_writes(reactor, **disk, 1, 2 * seconds / kRounds));
  }
  plain.print("durable write, plain", 1);
  ours.print("durable write, reactor", 1);
  for (const size_t depth : {size_t{32}, size_t{128}}) {
    reactor_writes(reactor, **disk, depth, seconds).print("durable write, reactor", depth);
  }
  CHECK(reactor.run_until_done((*disk)->remove(kFileName)).ok());
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : ".";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  const auto floor = cairn::bench::measure_floor({.directory = directory, .seconds_each = seconds});
  if (!floor.ok()) {
    std::fprintf(stderr, "cairn_bench_runtime: %s\n", floor.error().describe().c_str());
    return 1;
  }
  std::printf("floor: echo %.1f us, direct read %.1f us, dsync3 %.1f us\n", floor->echo.median_us,
              floor->direct_read.median_us, floor->dsync3.median_us);
  for (const size_t depth : {size_t{1}, size_t{32}, size_t{128}}) {
    cairn::bench::bench_echo(depth, seconds);
  }
  cairn::bench::bench_writes(directory, seconds);
  return 0;
}
