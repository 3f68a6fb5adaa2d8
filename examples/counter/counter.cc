// A counter that three processes keep: it survives the death of any one of them. See README.md.
//
//   counter serve --id N --data DIR --peers A,B,C     one of the three
//   counter add AMOUNT --peers A,B,C                  asks until the leader has done it
//   counter get --peers A,B,C                         a linearizable read
//
// A peer is HOST:PORT, where the others reach it; PORT + 1000 is where it serves clients, a line
// each way: "add 5" or "get", answered by "ok VALUE" or "no REASON".
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "io/real/log_sink.h"
#include "io/real/reactor.h"
#include "multiraft/host.h"
#include "rpc/server.h"
#include "wire/methods.h"

namespace {

using namespace cairn;
using namespace std::chrono_literals;

const GroupId kGroup{1};
// Members prove to each other that they know it. A real program reads it from a file.
const rpc::ClusterKey kKey{"the counter example's own key"};

// --- The state machine: all that is replicated is its sum.
class Counter final : public multiraft::StateMachine {
 public:
  int64_t value() const { return value_; }

  io::Task<Status> on_apply(std::span<multiraft::Command> commands) override {
    for (const multiraft::Command& command : commands) value_ += load<int64_t>(command.head.view());
    co_return ok();
  }
  void on_epoch(Epoch, LogIndex) override {}
  // The state is small enough to lie in the snapshot itself.
  io::Task<Result<multiraft::SavedState>> on_snapshot_save() override {
    co_return multiraft::SavedState{.data = encode(value_)};
  }
  io::Task<Status> on_recover(Buffer data) override { co_return restore(std::move(data)); }
  io::Task<Status> on_snapshot_load(Buffer data, NodeId) override {
    co_return restore(std::move(data));
  }
  static Buffer encode(int64_t value) {
    Buffer bytes = Buffer::allocate(sizeof value);
    store(bytes.mutable_view(), value);
    return bytes;
  }

 private:
  Status restore(Buffer data) {
    // A new group begins with no state.
    value_ = data.size_bytes() == sizeof value_ ? load<int64_t>(data.view()) : 0;
    return ok();
  }
  int64_t value_ = 0;
};

// --- One of the three processes.
std::string client_address(const std::string& peer) {
  const size_t colon = peer.rfind(':');
  return peer.substr(0, colon + 1) + std::to_string(std::atoi(peer.c_str() + colon + 1) + 1000);
}

class Server {
 public:
  Server(io::Env env, NodeId self, const std::vector<std::string>& peers)
      : env_(env),
        self_(self),
        client_(env, {}, kKey),
        server_(env, {}, kKey),
        host_(env, self, client_, peers_, {}) {
    for (const std::string& peer : peers) {
      members_.emplace_back(members_.size() + 1);
      peers_.set(members_.back(), {peer});
    }
  }

  io::Task<Status> start(io::Disk* disk) {
    // What the log holds comes back first; then the peers may speak.
    CO_TRY(co_await host_.open(*disk, {}, [this](GroupId) { return &counter_; }));
    node_ = CO_TRY(co_await host_.create(kGroup, members_, counter_));
    server_.add_one_way(wire::Method::kRaftBatch, host_, &multiraft::Host::on_batch);
    const std::string own = peers_.find(self_)->text;
    CO_TRY(server_.listen({own}));
    auto accept_one = [this](auto connection) { accept(std::move(connection)); };
    listener_ = CO_TRY(env_.network.listen({client_address(own)}, accept_one));
    co_return ok();
  }
  io::Task<void> stop() {
    listener_.reset();
    co_await host_.stop();
    co_await server_.stop();
    co_await client_.stop();
  }

 private:
  struct Session final : io::ConnectionHandler {
    Session(Server& owner, uint64_t number, std::unique_ptr<io::Connection> from)
        : server(owner), id(number), connection(std::move(from)) {}
    size_t on_bytes(ByteView bytes) override {
      const std::string_view text = as_text(bytes);
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) return text.size() < 100 ? 0 : text.size();
      server.env_.executor.spawn(serve(&server, id, std::string(text.substr(0, end))));
      return end + 1;
    }
    void on_closed(Error) override { server.sessions_.erase(id); }
    Server& server;
    const uint64_t id;
    const std::unique_ptr<io::Connection> connection;
  };

  void accept(std::unique_ptr<io::Connection> connection) {
    auto session = std::make_unique<Session>(*this, ++last_session_, std::move(connection));
    session->connection->start(*session);
    sessions_[session->id] = std::move(session);
  }

  static io::Task<void> serve(Server* self, uint64_t session, std::string line) {
    auto done = co_await self->run(std::move(line));
    // The client may have gone while its command was replicated.
    auto found = self->sessions_.find(session);
    if (found == self->sessions_.end()) co_return;
    std::string answer = done ? "ok " + std::to_string(*done) : "no " + done.error().message();
    found->second->connection->send(Buffer::copy_of(answer + "\n"));
  }

  io::Task<Result<int64_t>> run(std::string line) {
    if (line.starts_with("add ")) {
      const int64_t amount = std::strtoll(line.c_str() + 4, nullptr, 10);
      // Returns when a quorum has it on disk and it is applied here.
      CO_TRY(co_await node_->apply(Counter::encode(amount), Buffer()));
    } else if (line == "get") {
      CO_TRY(co_await node_->read_barrier());
    } else {
      co_return error(Errc::kInvalidArgument, "say \"add AMOUNT\" or \"get\"");
    }
    co_return counter_.value();
  }

  io::Env env_;
  const NodeId self_;
  std::vector<NodeId> members_;
  multiraft::PeerDirectory peers_;
  rpc::Client client_;
  rpc::Server server_;
  Counter counter_;
  multiraft::Host host_;
  multiraft::Node* node_ = nullptr;
  std::unique_ptr<io::Listener> listener_;
  uint64_t last_session_ = 0;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;
};

// --- A client: asks one after the other until the leader answers.
struct Answer final : io::ConnectionHandler {
  explicit Answer(io::Executor& executor) : line(executor) {}
  size_t on_bytes(ByteView bytes) override {
    const std::string_view text = as_text(bytes);
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || line.is_set()) return 0;
    line.set(std::string(text.substr(0, end)));
    return end + 1;
  }
  void on_closed(Error reason) override {
    if (!line.is_set()) line.set("no " + reason.message());
  }
  io::OneShot<std::string> line;
};

io::Task<std::string> ask(io::Env env, std::string peer, std::string line) {
  auto connection = co_await env.network.connect({client_address(peer)}, 1s);
  if (!connection) co_return "no " + connection.error().message();
  Answer answer(env.executor);
  (*connection)->start(answer);
  (*connection)->send(Buffer::copy_of(line + "\n"));
  co_return co_await answer.line;
}

io::Task<int> ask_leader(io::Env env, std::vector<std::string> peers, std::string line) {
  std::string answer;
  for (size_t tries = 0; tries < 60; ++tries) {
    answer = co_await ask(env, peers[tries % peers.size()], line);
    if (answer.starts_with("ok ")) {
      std::printf("%s\n", answer.c_str() + 3);
      co_return 0;
    }
    co_await env.clock.sleep(100ms);
  }
  std::fprintf(stderr, "counter: %s\n", answer.c_str());
  co_return 1;
}

int serve(io::real::Reactor& reactor, io::Env env, uint64_t id, const std::string& data,
          const std::vector<std::string>& peers) {
  auto disk = reactor.open_disk(data, {.create_root = true, .exclusive = true});
  Server server(env, NodeId(id), peers);
  Status started = disk ? reactor.run_until_done(server.start(disk->get())) : disk.error();
  for (int signal : {SIGTERM, SIGINT}) reactor.on_signal(signal, [&reactor] { reactor.stop(); });
  if (started) reactor.run();
  reactor.run_until_done(server.stop());
  if (!started) std::fprintf(stderr, "counter: %s\n", started.error().message().c_str());
  return started ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string line, data;
  std::vector<std::string> peers;
  uint64_t id = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* const value = word.starts_with("--") && i + 1 < argc ? argv[++i] : "";
    if (word == "--id") {
      id = std::strtoull(value, nullptr, 10);
    } else if (word == "--data") {
      data = value;
    } else if (word == "--peers") {
      std::istringstream list(value);
      for (std::string peer; std::getline(list, peer, ',');) peers.push_back(peer);
    } else {
      line += (line.empty() ? "" : " ") + std::string(word);
    }
  }
  const bool serves = line == "serve";
  if (line.empty() || peers.empty() || (serves && (data.empty() || id < 1 || id > peers.size()))) {
    std::fputs("usage: see the head of counter.cc, or README.md\n", stderr);
    return 2;
  }
  auto sink = io::real::SpdlogSink::open({});
  if (!sink) return 1;
  io::real::Reactor reactor;
  BufferPool buffers;
  Registry metrics;
  std::array<std::byte, 8> seed;
  reactor.entropy().fill(seed);
  Rng rng(load<uint64_t>(seed));
  const Logger logger(**sink, "counter", serves ? LogLevel::kInfo : LogLevel::kError);
  const io::Env env{reactor, reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
                    logger,  metrics};
  if (serves) return serve(reactor, env, id, data, peers);
  return reactor.run_until_done(ask_leader(env, peers, line));
}
