#include "bench/raft/member.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "io/real/log_sink.h"
#include "io/real/reactor.h"
#include "multiraft/host.h"
#include "rpc/server.h"
#include "wire/methods.h"

namespace cairn::bench {
namespace {

using multiraft::Command;
using multiraft::Node;
using multiraft::SavedState;

constexpr uint64_t kPayloadBytes = 4096;
constexpr Duration kConnectTimeout = 5s;
/// Below this the kernel still holds pages of the binary back: only differences are reported.
uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000 + static_cast<uint64_t>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

class Member;

/// Counts its commands; when it begins to lead it has one committed, to know when that works.
class Tally final : public multiraft::StateMachine {
 public:
  Tally(Member& member, GroupId group) : member_(member), group_(group) {}

  io::Task<Status> on_apply(std::span<Command> commands) override {
    count_ += commands.size();
    co_return ok();
  }
  void on_epoch(Epoch, LogIndex) override {}
  io::Task<Result<SavedState>> on_snapshot_save() override {
    co_return SavedState{.data = Buffer::copy_of(std::to_string(count_))};
  }
  io::Task<Status> on_recover(Buffer data) override { co_return restore(std::move(data)); }
  io::Task<Status> on_snapshot_load(Buffer data, NodeId) override {
    co_return restore(std::move(data));
  }
  void on_leader_start(Term term) override;

 private:
  Status restore(Buffer data) {
    count_ = std::strtoull(std::string(as_text(data.view())).c_str(), nullptr, 10);
    return ok();
  }
  Member& member_;
  const GroupId group_;
  uint64_t count_ = 0;
};

/// One run of a load: proposers that go on until a time.
struct Load {
  std::vector<Node*> nodes;
  Instant until;
  size_t running = 0;
  uint64_t done = 0, refused = 0;
  Histogram latency_ns;
};

class Member final : private io::ConnectionHandler {
 public:
  Member(io::real::Reactor& reactor, io::Env env, MemberOptions options)
      : reactor_(reactor),
        env_(env),
        options_(std::move(options)),
        client_(env, {}, {"the key of the benchmark's cluster"}),
        server_(env, {}, {"the key of the benchmark's cluster"}) {}

  io::Task<Status> start() {
    server_.add_one_way(wire::Method::kRaftBatch, *this, &Member::on_batch);
    const io::Address bound = CO_TRY(server_.listen({options_.listen}));
    control_ = CO_TRY(co_await env_.network.connect({options_.control}, kConnectTimeout));
    control_->start(*this);
    answer("hello " + std::to_string(options_.id) + " " + bound.text);
    co_return ok();
  }
  io::Task<void> stop() {
    if (host_) co_await host_->stop();
    co_await server_.stop();
    co_await client_.stop();
  }
  void began_to_lead(GroupId group, Term term) { reactor_.spawn(commit_first(this, group, term)); }

 private:
  // io::ConnectionHandler
  size_t on_bytes(ByteView bytes) override {
    const std::string_view text = as_text(bytes);
    const size_t end = text.rfind('\n');
    if (end == std::string_view::npos) return 0;
    std::istringstream lines{std::string(text.substr(0, end))};
    for (std::string line; std::getline(lines, line);) reactor_.spawn(obey(this, line));
    return end + 1;
  }
  void on_closed(Error) override { reactor_.stop(); }

  void on_batch(rpc::Call<wire::RaftBatch> batch) {
    if (is_open_) host_->on_batch(std::move(batch));
  }
  void answer(const std::string& line) { control_->send(Buffer::copy_of(line + "\n")); }

  static io::Task<void> obey(Member* self, std::string line) {
    std::istringstream words(line);
    std::string order;
    words >> order;
    auto done = co_await self->run(std::move(order), std::move(words));
    self->answer(done ? "ok " + *done : "failed " + done.error().message());
  }
  io::Task<Result<std::string>> run(std::string order, std::istringstream words) {
    if (order == "open") co_return co_await open(std::move(words));
    if (order == "create") co_return co_await create(std::move(words));
    if (order == "status") co_return status();
    if (order == "led") co_return led(std::move(words));
    if (order == "load") co_return co_await load(std::move(words));
    co_return error(Errc::kInvalidArgument, "no such order: " + order);
  }

  io::Task<Result<std::string>> open(std::istringstream words) {
    for (std::string word; words >> word;) {
      const size_t at = word.find('=');
      const NodeId id(std::strtoull(word.c_str(), nullptr, 10));
      peers_.set(id, {word.substr(at + 1)});
      members_.push_back(id);
    }
    disk_ = CO_TRY(reactor_.open_disk(options_.directory, {.create_root = true}));
    multiraft::HostOptions raft;
    // A thousand groups are written to in turn: each holds little, and the log is cut in time.
    raft.snapshot_log_bytes = kMiB;
    raft.retained_log_bytes = 256 * kKiB;
    raft.snapshots_at_once_max = 512;
    host_ = std::make_unique<multiraft::Host>(env_, NodeId(options_.id), client_, peers_, raft);
    wal::WalOptions wal;
    wal.wal_bytes_max = 2 * kGiB;
    wal.segments_ready_min = 4;
    CO_TRY(co_await host_->open(*disk_, wal, [this](GroupId group) { return &machine(group); }));
    is_open_ = true;
    co_return std::to_string(host_->nodes().size());
  }

  io::Task<Result<std::string>> create(std::istringstream words) {
    uint64_t first = 0, count = 0;
    words >> first >> count;
    size_t left = count;
    std::optional<Error> failure;
    for (uint64_t id = first; id < first + count; ++id) {
      reactor_.spawn(create_one(this, GroupId(id), &left, &failure));
    }
    while (left > 0) co_await env_.clock.sleep(5ms);
    if (failure) co_return *failure;
    co_return std::to_string(count);
  }
  static io::Task<void> create_one(Member* self, GroupId id, size_t* left,
                                   std::optional<Error>* failure) {
    auto made = co_await self->host_->create(id, self->members_, self->machine(id));
    if (!made) *failure = made.error();
    --*left;
  }

  std::string status() {
    size_t leads = 0;
    uint64_t applied = 0;
    const auto nodes = host_->nodes();
    for (const auto& [id, node] : nodes) {
      leads += node->is_ready_leader();
      applied += node->status().applied.value();
    }
    const auto sent = [this](const char* side) {
      return env_.metrics.counter(std::string("cairn_rpc_") + side + "_sent_bytes_total", "")
          .value();
    };
    std::ostringstream out;
    out << nodes.size() << " " << leads << " " << cpu_us() << " " << resident_bytes() << " "
        << sent("client") + sent("server") << " " << applied << " "
        << env_.metrics.gauge("cairn_raft_groups_ticking", "").value();
    return out.str();
  }

  std::string led(std::istringstream words) {
    int64_t since = 0;
    words >> since;
    std::ostringstream out;
    for (const auto& [group, at] : first_commits_) {
      if (at.time_since_epoch().count() >= since) {
        out << group.value() << ":" << at.time_since_epoch().count() << " ";
      }
    }
    return out.str();
  }

  io::Task<Result<std::string>> load(std::istringstream words) {
    size_t groups = 0, depth = 0;
    int64_t ms = 0;
    words >> groups >> depth >> ms;
    Load load;
    for (const auto& [id, node] : host_->nodes()) {
      if (load.nodes.size() < groups && node->is_ready_leader()) load.nodes.push_back(node);
    }
    if (load.nodes.empty()) co_return error(Errc::kNotLeader, "this member leads no group");
    if (payload_.empty()) payload_ = env_.buffers.allocate_zeroed(kPayloadBytes);
    load.until = env_.clock.now() + std::chrono::milliseconds(ms);
    const uint64_t cpu_before = cpu_us();
    // Each group has users of its own, equally many.
    for (; load.running < depth; ++load.running) {
      reactor_.spawn(propose(this, &load, load.nodes[load.running % load.nodes.size()]));
    }
    while (load.running > 0) co_await env_.clock.sleep(5ms);  // not part of any latency
    std::ostringstream out;
    out << load.nodes.size() << " " << load.done << " " << load.refused << " "
        << load.latency_ns.quantile(0.5) / 1000 << " " << load.latency_ns.quantile(0.99) / 1000
        << " " << cpu_us() - cpu_before;
    co_return out.str();
  }
  static io::Task<void> propose(Member* self, Load* load, Node* node) {
    const Buffer head = Buffer::copy_of(std::string_view("a command of the load, 32 bytes.."));
    while (self->env_.clock.now() < load->until) {
      const Instant begun = self->env_.clock.now();
      auto index = co_await node->apply(head, self->payload_);
      if (index) {
        ++load->done;
        load->latency_ns.record(static_cast<uint64_t>((self->env_.clock.now() - begun).count()));
      } else {
        ++load->refused;
        co_await self->env_.clock.sleep(1ms);  // the log is behind, or another leads: not a spin
      }
    }
    --load->running;
  }
  static io::Task<void> commit_first(Member* self, GroupId group, Term term) {
    Node* node = self->host_->find(group);
    if (!node) co_return;  // recovery: it is told before it is listed
    auto index = co_await node->apply(Buffer::copy_of(std::string_view("first")), Buffer(), term);
    if (index) self->first_commits_[group] = self->env_.clock.now();
  }

  multiraft::StateMachine& machine(GroupId group) {
    auto& machine = machines_[group];
    if (!machine) machine = std::make_unique<Tally>(*this, group);
    return *machine;
  }

  io::real::Reactor& reactor_;
  io::Env env_;
  const MemberOptions options_;
  rpc::Client client_;
  rpc::Server server_;
  multiraft::PeerDirectory peers_;
  std::vector<NodeId> members_;
  std::unique_ptr<io::Connection> control_;
  std::unique_ptr<io::Disk> disk_;
  std::map<GroupId, std::unique_ptr<Tally>> machines_;
  std::unique_ptr<multiraft::Host> host_;
  bool is_open_ = false;
  Buffer payload_;
  std::map<GroupId, Instant> first_commits_;
};

void Tally::on_leader_start(Term term) {
  member_.began_to_lead(group_, term);
}

}  // namespace

int run_member(const MemberOptions& options) {
  auto sink = io::real::SpdlogSink::open({});
  if (!sink) return 1;
  const std::string name = "member" + std::to_string(options.id);
  io::real::Reactor reactor({.logger = Logger(**sink, name, LogLevel::kError)});
  BufferPool buffers(128 * kMiB);
  Registry metrics;
  std::array<std::byte, 8> seed;
  reactor.entropy().fill(seed);
  Rng rng(load<uint64_t>(seed));
  const io::Env env{reactor,
                    reactor.clock(),
                    reactor.network(),
                    reactor.entropy(),
                    buffers,
                    rng,
                    Logger(**sink, name, LogLevel::kError),
                    metrics};
  Member member(reactor, env, options);
  if (Status started = reactor.run_until_done(member.start()); !started) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), started.error().message().c_str());
    return 1;
  }
  reactor.run();
  reactor.run_until_done(member.stop());
  return 0;
}

}  // namespace cairn::bench
