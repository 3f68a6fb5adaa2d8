/// What RPC costs: 4 KiB calls over loopback between two processes, at depth 1, 32 and 128, against
/// the plain exchange of the same bytes by blocking sockets in the same run.
///
///   cairn_bench_rpc [SECONDS]     per measurement, 1 unless told; medians of three rounds
/// Prints operations a second, the time of one at depth 1 and the CPU of both processes for each,
/// and their ratios to the plain exchange.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "io/real/reactor.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "wire/chunk.pb.h"

namespace cairn::bench {
namespace {

constexpr size_t kPayloadBytes = 4096;
constexpr size_t kPlainRequestBytes = kPayloadBytes + 80;  // about what prefix and header come to
constexpr size_t kPlainAnswerBytes = 44;
const rpc::ClusterKey kKey{"the key of a benchmark"};

struct Measured {
  double seconds = 0;
  uint64_t operations = 0;
  double cpu_seconds = 0;
  uint64_t median_ns = 0;

  double rate() const { return static_cast<double>(operations) / seconds; }
  double cpu_us() const { return cpu_seconds * 1e6 / static_cast<double>(operations); }
};

double seconds_of(const rusage& usage) {
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

double own_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage);
}

double now_seconds() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// --- The plain exchange ---

void write_all(int socket, const char* data, size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t sent = send(socket, data, size_bytes, MSG_NOSIGNAL);
    if (sent <= 0) std::exit(0);  // the other side has ended
    data += sent;
    size_bytes -= static_cast<size_t>(sent);
  }
}

int listening_socket(uint16_t* port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t address_bytes = sizeof(address);
  CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), address_bytes) == 0);
  CHECK(listen(listener, 1) == 0);
  CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &address_bytes) == 0);
  *port = ntohs(address.sin_port);
  return listener;
}

[[noreturn]] void serve_plain(int listener) {
  const int peer = accept(listener, nullptr, nullptr);
  const int on = 1;
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::vector<char> in(size_t{1} << 20);
  std::vector<char> out(kPlainAnswerBytes * (in.size() / kPlainRequestBytes + 2));
  size_t pending_bytes = 0;
  while (true) {
    const ssize_t got = recv(peer, in.data(), in.size(), 0);
    if (got <= 0) std::exit(0);
    pending_bytes += static_cast<size_t>(got);
    const size_t whole_count = pending_bytes / kPlainRequestBytes;
    pending_bytes %= kPlainRequestBytes;
    write_all(peer, out.data(), whole_count * kPlainAnswerBytes);
  }
}

Measured run_plain(uint16_t port, size_t depth, double seconds) {
  const int peer = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  CHECK(connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const int on = 1;
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::vector<char> out(kPlainRequestBytes * depth);
  std::vector<char> in(kPlainAnswerBytes * depth);
  Measured measured;
  Histogram latency_ns;
  const double cpu_before = own_cpu_seconds();
  const double begun = now_seconds();
  write_all(peer, out.data(), out.size());
  size_t pending_bytes = 0;
  double sent_at = begun;
  while (now_seconds() - begun < seconds) {
    const ssize_t got = recv(peer, in.data(), in.size(), 0);
    CHECK(got > 0);
    pending_bytes += static_cast<size_t>(got);
    const size_t answered_count = pending_bytes / kPlainAnswerBytes;
    pending_bytes %= kPlainAnswerBytes;
    if (answered_count == 0) continue;
    measured.operations += answered_count;
    const double now = now_seconds();
    latency_ns.record(static_cast<uint64_t>((now - sent_at) * 1e9));
    sent_at = now;
    write_all(peer, out.data(), answered_count * kPlainRequestBytes);
  }
  measured.seconds = now_seconds() - begun;
  measured.cpu_seconds = own_cpu_seconds() - cpu_before;
  measured.median_ns = latency_ns.quantile(0.5);
  close(peer);
  return measured;
}

// --- RPC ---

struct Process {
  io::real::Reactor reactor;
  BufferPool buffers;
  Rng rng{1};
  Registry metrics;
  io::Env env() {
    return {reactor,  reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
            Logger(), metrics};
  }
};

class EchoService {
 public:
  io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> write(
      rpc::Call<wire::WriteChunkRequest> call) {
    rpc::Answer<wire::WriteChunkReply> answer;
    answer.message.set_index(call.request.offset_bytes());
    co_return answer;
  }
};

[[noreturn]] void serve_rpc(int port_pipe) {
  Process process;
  EchoService service;
  rpc::Server server(process.env(), {}, kKey);
  server.add(wire::Method::kWriteChunk, service, &EchoService::write);
  auto bound = server.listen({"127.0.0.1:0"});
  CHECK(bound.ok());
  const auto port =
      static_cast<uint16_t>(std::atoi(bound->text.substr(bound->text.rfind(':') + 1).c_str()));
  CHECK(write(port_pipe, &port, sizeof(port)) == sizeof(port));
  process.reactor.run();  // until the signal of the parent
  std::exit(0);
}

struct Flow {
  rpc::Client* client;
  io::Clock* clock;
  io::Address to;
  Buffer payload;
  Instant until;
  Histogram* latency_ns;
  uint64_t* operations;
  size_t* running_count;
  io::real::Reactor* reactor;
};

io::Task<void> call_until(Flow flow) {
  while (true) {
    const Instant begun = flow.clock->now();
    if (begun >= flow.until) break;
    wire::WriteChunkRequest request;
    request.mutable_target()->set_copyset(100'000);
    request.mutable_target()->set_chunk(10'000'000);
    request.mutable_target()->set_volume(7);
    request.set_offset_bytes(8 * kMiB);
    request.set_size_bytes(kPayloadBytes);
    std::vector<Buffer> attachment{flow.payload};
    auto answer = co_await flow.client->call<wire::WriteChunkReply>(
        flow.to, wire::Method::kWriteChunk, request, std::move(attachment), 10s);
    CHECK(answer.ok(), answer.ok() ? "" : answer.error().message());
    flow.latency_ns->record(static_cast<uint64_t>((flow.clock->now() - begun).count()));
    ++*flow.operations;
  }
  if (--*flow.running_count == 0) flow.reactor->stop();
}

Measured run_rpc(uint16_t port, size_t depth, double seconds) {
  Process process;
  rpc::Client client(process.env(), {}, kKey);
  const io::Address to{"127.0.0.1:" + std::to_string(port)};
  Histogram latency_ns;
  Measured measured;
  size_t running_count = depth;
  io::Clock& clock = process.reactor.clock();
  const double cpu_before = own_cpu_seconds();
  const double begun = now_seconds();
  const Instant until = clock.now() + Duration(static_cast<int64_t>(seconds * 1e9));
  const Buffer payload = process.buffers.allocate_zeroed(kPayloadBytes);
  for (size_t i = 0; i < depth; ++i) {
    process.reactor.spawn(call_until(Flow{&client, &clock, to, payload, until, &latency_ns,
                                          &measured.operations, &running_count, &process.reactor}));
  }
  process.reactor.run();
  measured.seconds = now_seconds() - begun;
  measured.cpu_seconds = own_cpu_seconds() - cpu_before;
  measured.median_ns = latency_ns.quantile(0.5);
  process.reactor.run_until_done(client.stop());
  return measured;
}

// --- Both ---

/// Runs the server in a process of its own; its CPU is added.
Measured measure(bool is_plain, size_t depth, double seconds) {
  int port_pipe[2];
  CHECK(pipe(port_pipe) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (!is_plain) serve_rpc(port_pipe[1]);
    uint16_t port = 0;
    const int listener = listening_socket(&port);
    CHECK(write(port_pipe[1], &port, sizeof(port)) == sizeof(port));
    serve_plain(listener);
  }
  uint16_t port = 0;
  CHECK(read(port_pipe[0], &port, sizeof(port)) == sizeof(port), "the server did not start");
  Measured measured = is_plain ? run_plain(port, depth, seconds) : run_rpc(port, depth, seconds);
  kill(child, SIGTERM);
  rusage usage{};
  int status = 0;
  CHECK(wait4(child, &status, 0, &usage) == child);
  measured.cpu_seconds += seconds_of(usage);
  close(port_pipe[0]);
  close(port_pipe[1]);
  return measured;
}

constexpr int kRoundsCount = 3;

const Measured& median_of(std::vector<Measured>& rounds) {
  std::ranges::sort(rounds, {}, [](const Measured& m) { return m.rate(); });
  return rounds[rounds.size() / 2];
}

void print_row(size_t depth, const char* what, const Measured& m, const Measured& plain) {
  std::printf("%5zu  %-6s %10.0f ops/s  median %7.1f us  CPU %6.2f us/op  x%.2f time  x%.2f CPU\n",
              depth, what, m.rate(), static_cast<double>(m.median_ns) / 1e3, m.cpu_us(),
              plain.rate() / m.rate(), m.cpu_us() / plain.cpu_us());
  std::fflush(stdout);
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  using namespace cairn::bench;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  std::printf("depth, 4 KiB calls over loopback, two processes; ratios to the plain exchange\n");
  std::fflush(stdout);  // or each server's process would print it again
  for (const size_t depth : {1, 32, 128}) {
    // In turns, so that a machine that is busy for a while is busy for both.
    std::vector<Measured> plain;
    std::vector<Measured> rpc;
    for (int round = 0; round < kRoundsCount; ++round) {
      plain.push_back(measure(true, depth, seconds));
      rpc.push_back(measure(false, depth, seconds));
    }
    print_row(depth, "plain", median_of(plain), median_of(plain));
    print_row(depth, "rpc", median_of(rpc), median_of(plain));
  }
}
