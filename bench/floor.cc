#include "bench/floor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/units.h"

namespace cairn::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr size_t kWritersCount = 3;

Error failed(const std::string& what) {
  return error(Errc::kIo, what + ": " + std::strerror(errno));
}

struct Fd {
  int fd = -1;
  explicit Fd(int value) : fd(value) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

struct AlignedBlock {
  std::unique_ptr<void, void (*)(void*)> memory{std::aligned_alloc(kBlockBytes, kBlockBytes),
                                                &std::free};
  AlignedBlock() { std::memset(memory.get(), 0x5a, kBlockBytes); }
  void* get() const { return memory.get(); }
};

Latency summarize(std::vector<float> samples_us) {
  if (samples_us.empty()) return {};
  std::ranges::sort(samples_us);
  const size_t count = samples_us.size();
  return {.median_us = samples_us[count / 2],
          .p99_us = samples_us[count * 99 / 100],
          .samples_count = count};
}

/// Times `operation` until `seconds` are over, the first tenth unrecorded; empty if it failed.
std::vector<float> time_operations(double seconds, const std::function<bool()>& operation) {
  std::vector<float> samples_us;
  samples_us.reserve(1 << 16);
  const auto begin = SteadyClock::now();
  const auto record_from = begin + std::chrono::duration<double>(seconds / 10);
  const auto end = begin + std::chrono::duration<double>(seconds);
  auto before = begin;
  while (before < end) {
    if (!operation()) return {};
    const auto after = SteadyClock::now();
    if (before >= record_from) {
      samples_us.push_back(std::chrono::duration<float, std::micro>(after - before).count());
    }
    before = after;
  }
  return samples_us;
}

bool transfer_all(int fd, char* bytes, bool sending) {
  for (size_t done = 0; done < kBlockBytes;) {
    const ssize_t result = sending ? ::send(fd, bytes + done, kBlockBytes - done, MSG_NOSIGNAL)
                                   : ::recv(fd, bytes + done, kBlockBytes - done, 0);
    if (result <= 0) return false;
    done += static_cast<size_t>(result);
  }
  return true;
}

/// The other process: answers with what it got until the peer is gone.
[[noreturn]] void echo_until_closed(int listening_fd) {
  const int fd = ::accept(listening_fd, nullptr, nullptr);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::array<char, kBlockBytes> block;
  while (transfer_all(fd, block.data(), false) && transfer_all(fd, block.data(), true)) {
  }
  ::_exit(0);
}

Result<Latency> measure_echo(double seconds) {
  const Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t address_bytes = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (listening.fd < 0 || ::bind(listening.fd, generic, sizeof(address)) != 0 ||
      ::listen(listening.fd, 1) != 0 || ::getsockname(listening.fd, generic, &address_bytes) != 0) {
    return failed("listen on loopback");
  }
  const pid_t child = ::fork();
  if (child < 0) return failed("fork");
  if (child == 0) echo_until_closed(listening.fd);
  std::vector<float> samples_us;
  {
    const Fd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (::connect(connection.fd, generic, sizeof(address)) == 0 &&
        ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0) {
      std::array<char, kBlockBytes> block{};
      samples_us = time_operations(seconds, [&] {
        return transfer_all(connection.fd, block.data(), true) &&
               transfer_all(connection.fd, block.data(), false);
      });
    }
  }
  if (samples_us.empty()) ::kill(child, SIGKILL);  // It may still wait in accept().
  ::waitpid(child, nullptr, 0);
  if (samples_us.empty()) return failed("echo over loopback");
  return summarize(std::move(samples_us));
}

std::string file_path(const FloorOptions& options, size_t index) {
  return options.directory + "/floor-" + std::to_string(::getpid()) + "-" + std::to_string(index);
}

/// Preallocated and written once: what a log's segments are after their first use.
Status prepare_file(const FloorOptions& options, size_t index) {
  const std::string path = file_path(options, index);
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.fd < 0) return failed("create " + path);
  const int result = ::posix_fallocate(file.fd, 0, static_cast<off_t>(options.file_bytes));
  if (result != 0) {
    errno = result;
    return failed("allocate " + path);
  }
  const std::vector<char> zeros(1 << 20);
  for (size_t offset = 0; offset < options.file_bytes; offset += zeros.size()) {
    if (::pwrite(file.fd, zeros.data(), zeros.size(), static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(zeros.size())) {
      return failed("write " + path);
    }
  }
  if (::fsync(file.fd) != 0) return failed("sync " + path);
  return ok();
}

std::vector<float> write_durably(const FloorOptions& options, size_t index) {
  const Fd file(::open(file_path(options, index).c_str(), O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC));
  if (file.fd < 0) return {};
  const AlignedBlock block;
  uint64_t offset_bytes = 0;
  return time_operations(options.seconds_each, [&] {
    const ssize_t result =
        ::pwrite(file.fd, block.get(), kBlockBytes, static_cast<off_t>(offset_bytes));
    offset_bytes = (offset_bytes + kBlockBytes) % options.file_bytes;
    return result == static_cast<ssize_t>(kBlockBytes);
  });
}

Result<Latency> measure_dsync3(const FloorOptions& options) {
  std::array<std::vector<float>, kWritersCount> samples_us;
  std::vector<std::thread> writers;
  for (size_t i = 0; i < kWritersCount; ++i) {
    writers.emplace_back([&, i] { samples_us[i] = write_durably(options, i); });
  }
  for (std::thread& writer : writers) writer.join();
  std::vector<float> all_us;
  for (const auto& of_one : samples_us) {
    if (of_one.empty()) {
      return error(Errc::kIo, "a durable write past the page cache failed in " + options.directory);
    }
    all_us.insert(all_us.end(), of_one.begin(), of_one.end());
  }
  return summarize(std::move(all_us));
}

Result<Latency> measure_direct_read(const FloorOptions& options) {
  const Fd file(::open(file_path(options, 0).c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (file.fd < 0) return failed("open " + file_path(options, 0));
  const AlignedBlock block;
  uint64_t state = 88172645463325252;  // Any; the same in each run.
  auto samples_us = time_operations(options.seconds_each, [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const uint64_t index = state % (options.file_bytes / kBlockBytes);
    return ::pread(file.fd, block.get(), kBlockBytes, static_cast<off_t>(index * kBlockBytes)) ==
           static_cast<ssize_t>(kBlockBytes);
  });
  if (samples_us.empty()) return failed("read past the page cache in " + options.directory);
  return summarize(std::move(samples_us));
}

Result<Floor> measure_on_files(const FloorOptions& options) {
  Floor floor;
  floor.echo = TRY(measure_echo(options.seconds_each));  // Forks: before any thread is made.
  for (size_t i = 0; i < kWritersCount; ++i) TRY(prepare_file(options, i));
  floor.dsync3 = TRY(measure_dsync3(options));
  floor.direct_read = TRY(measure_direct_read(options));
  return floor;
}

}  // namespace

Result<Floor> measure_floor(FloorOptions options) {
  if (options.file_bytes == 0 || options.file_bytes % (1 << 20) != 0 || options.seconds_each <= 0) {
    return error(Errc::kInvalidArgument, "the files have whole MiB, the measurement a length");
  }
  auto floor = measure_on_files(options);
  for (size_t i = 0; i < kWritersCount; ++i) ::unlink(file_path(options, i).c_str());
  return floor;
}

std::string Floor::to_json() const {
  char text[512];
  std::snprintf(text, sizeof(text),
                "{\"echo_us\":%.1f,\"echo_p99_us\":%.1f,\"dsync3_us\":%.1f,\"dsync3_p99_us\":%.1f,"
                "\"direct_read_us\":%.1f,\"direct_read_p99_us\":%.1f,\"floor3_us\":%.1f,"
                "\"read_floor_us\":%.1f}",
                echo.median_us, echo.p99_us, dsync3.median_us, dsync3.p99_us, direct_read.median_us,
                direct_read.p99_us, write_us(), read_us());
  return text;
}

}  // namespace cairn::bench
