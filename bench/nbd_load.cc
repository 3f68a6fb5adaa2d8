/// A small NBD load generator, because general ones cost more than the servers that are measured.
///
/// One connection on a Unix socket, one thread, simple replies; keeps `depth` requests of 4 KiB
/// under way and reads replies in large pieces. Prints one JSON object: rates, latencies, and the
/// CPU time of the server's threads (/proc/PID/task/*/schedstat) for each request. Usage: nbd_load
/// SOCKET_PATH SERVER_PID read|write DEPTH SECONDS LABEL
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/metrics.h"
#include "gateway/nbd/option.h"
#include "gateway/nbd/request.h"

namespace cairn::nbd {
namespace {

constexpr uint32_t kRequestSize = 4096;
constexpr uint64_t kExportBytes = kGiB;

[[noreturn]] void die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

/// The time that all threads of a process have run.
uint64_t cpu_ns(const std::string& pid) {
  const std::string folder = "/proc/" + pid + "/task";
  DIR* tasks = opendir(folder.c_str());
  if (!tasks) die(folder);
  uint64_t sum = 0;
  while (const dirent* task = readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    std::ifstream file(folder + "/" + task->d_name + "/schedstat");
    uint64_t ran = 0;
    file >> ran;
    sum += ran;
  }
  closedir(tasks);
  return sum;
}

class Load {
 public:
  Load(const std::string& path, bool is_write, size_t depth)
      : is_write_(is_write), started_ns_(depth) {
    socket_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof(address.sun_path), "%s", path.c_str());
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) die(path);
    handshake();
  }
  ~Load() { close(socket_); }

  /// Keeps the depth for `seconds`, then lets what is under way end.
  void run(double seconds) {
    begin_ns_ = now_ns();
    const uint64_t stop_ns = begin_ns_ + static_cast<uint64_t>(seconds * 1e9);
    for (uint64_t slot = 0; slot < started_ns_.size(); ++slot) queue(slot);
    while (under_way_ > 0) {
      exchange();
      parse(stop_ns);
    }
    end_ns_ = now_ns();
  }

  uint64_t elapsed_ns() const { return end_ns_ - begin_ns_; }
  const Histogram& latency_ns() const { return latency_ns_; }

 private:
  void send_all(const Bytes& bytes) {
    if (::send(socket_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      die("send");
    }
  }
  Bytes receive_exactly(size_t size) {
    Bytes bytes(size);
    if (recv(socket_, bytes.data(), size, MSG_WAITALL) != static_cast<ssize_t>(size)) die("recv");
    return bytes;
  }
  void handshake() {
    receive_exactly(18);
    Bytes hello;
    put(&hello, uint32_t{3});
    put(&hello, kOptionMagic);
    put(&hello, Option::kExportName);
    put(&hello, uint32_t{0});
    send_all(hello);
    receive_exactly(10);
  }

  void queue(uint64_t slot) {
    place_ = (place_ * 6364136223846793005u + 1442695040888963407u);
    put(&out_, kRequestMagic);
    put(&out_, uint16_t{0});
    put(&out_, is_write_ ? Command::kWrite : Command::kRead);
    put(&out_, slot);
    put(&out_, (place_ >> 20) % (kExportBytes / kRequestSize) * kRequestSize);
    put(&out_, kRequestSize);
    if (is_write_) out_.resize(out_.size() + kRequestSize);
    started_ns_[slot] = now_ns();
    ++under_way_;
  }

  /// Waits until something can be sent or has come, and does both.
  void exchange() {
    pollfd ready{socket_, POLLIN, 0};
    if (sent_ < out_.size()) ready.events |= POLLOUT;
    if (poll(&ready, 1, 10'000) <= 0) die("poll");
    if (ready.revents & POLLOUT) {
      const ssize_t n = ::send(socket_, out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT);
      if (n < 0) die("send");
      sent_ += static_cast<size_t>(n);
      if (sent_ == out_.size()) {
        out_.clear();
        sent_ = 0;
      }
    }
    if (ready.revents & POLLIN) {
      const size_t had = in_.size();
      in_.resize(had + 512 * kKiB);
      const ssize_t n = recv(socket_, in_.data() + had, in_.size() - had, MSG_DONTWAIT);
      if (n <= 0) die("recv");
      in_.resize(had + static_cast<size_t>(n));
    }
  }

  void parse(uint64_t stop_ns) {
    const size_t reply_bytes = kSimpleReplyBytes + (is_write_ ? 0 : kRequestSize);
    ByteView left = in_;
    const uint64_t now = now_ns();
    while (left.size() >= reply_bytes) {
      if (get<uint32_t>(left) != kSimpleReplyMagic || get<uint32_t>(left.subspan(4)) != 0) {
        die("a reply is not what was asked for");
      }
      const uint64_t slot = get<uint64_t>(left.subspan(8));
      left = left.subspan(reply_bytes);
      latency_ns_.record(now - started_ns_[slot]);
      --under_way_;
      if (now < stop_ns) queue(slot);
    }
    in_.erase(in_.begin(), in_.end() - static_cast<std::ptrdiff_t>(left.size()));
  }

  const bool is_write_;
  int socket_ = -1;
  std::vector<uint64_t> started_ns_;  ///< by slot, which is the request's cookie
  size_t under_way_ = 0;
  uint64_t place_ = 1;
  Bytes out_, in_;
  size_t sent_ = 0;
  uint64_t begin_ns_ = 0, end_ns_ = 0;
  Histogram latency_ns_;
};

}  // namespace
}  // namespace cairn::nbd

int main(int argc, char** argv) {
  using namespace cairn::nbd;
  if (argc != 7) {
    std::fprintf(stderr, "usage: nbd_load SOCKET_PATH SERVER_PID read|write DEPTH SECONDS LABEL\n");
    return 2;
  }
  const bool is_write = std::string(argv[3]) == "write";
  Load load(argv[1], is_write, std::strtoul(argv[4], nullptr, 10));
  const uint64_t before_ns = cpu_ns(argv[2]);
  load.run(std::strtod(argv[5], nullptr));
  const auto spent_ns = static_cast<double>(cpu_ns(argv[2]) - before_ns);
  const auto count = static_cast<double>(load.latency_ns().count());
  std::printf(
      "{\"server\": \"%s\", \"rw\": \"%s\", \"depth\": %s, \"iops\": %.0f, \"p50_us\": %.1f, "
      "\"p99_us\": %.1f, \"server_cpu_us_per_op\": %.2f}\n",
      argv[6], argv[3], argv[4], count / (static_cast<double>(load.elapsed_ns()) / 1e9),
      static_cast<double>(load.latency_ns().quantile(0.5)) / 1e3,
      static_cast<double>(load.latency_ns().quantile(0.99)) / 1e3, spent_ns / count / 1e3);
  return 0;
}
