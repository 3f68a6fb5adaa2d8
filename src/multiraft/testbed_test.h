/// Members of Raft groups on simulated hosts, with a state machine whose every step can be held up.
#pragma once

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "multiraft/host.h"
#include "rpc/server.h"
#include "sim/io/world.h"
#include "wire/methods.h"

namespace cairn::multiraft::testing {

inline const rpc::ClusterKey kKey{"the key of the test's cluster"};
inline const GroupId kGroup{7};

/// What a test makes of a member's state machines; outlives their restarts.
struct Knobs {
  bool hold_apply = false;
  bool hold_save = false;
  bool hold_load = false;
  bool hold_recover = false;
  std::optional<Error> fail_apply;
  std::optional<Error> fail_save;
  std::string refuse_at;  ///< the machine has no room for this command
  std::optional<Error> fail_load;
};

/// Remembers every command, in order; a payload by its checksum. Its snapshot holds all of them.
class Ledger final : public StateMachine {
 public:
  Ledger(io::Env env, const Knobs& knobs) : changed(env.executor), knobs_(knobs) {}

  io::Task<Status> on_apply(std::span<Command> commands) override {
    for (Command& command : commands) {
      begun = std::string(as_text(command.head.view()));
      if (!command.payload.empty()) begun += "#" + std::to_string(crc32c(command.payload.view()));
      is_applying = true;
      if (begun.starts_with("half:")) values.push_back("begun");  // visible before it is done
      while (knobs_.hold_apply) co_await changed.wait_next();
      is_applying = false;
      if (knobs_.fail_apply) co_return *knobs_.fail_apply;
      if (!knobs_.refuse_at.empty() && begun == knobs_.refuse_at) {
        ++refusals;
        co_return error(Errc::kNoSpace, "as asked");
      }
      if (begun.starts_with("refuse")) command.outcome = error(Errc::kStaleFence, "as asked");
      values.push_back(begun);
      EXPECT_LT(last, command.index) << "a command is applied once";
      last = command.index;
      command.is_done = true;
    }
    co_return ok();
  }
  void on_epoch(Epoch epoch, LogIndex) override { last_epoch = epoch; }
  io::Task<Result<SavedState>> on_snapshot_save() override {
    std::string text;
    for (const std::string& value : values) text += value + "\n";
    saved_while_applying |= is_applying;
    ++saves;
    while (knobs_.hold_save) co_await changed.wait_next();
    if (knobs_.fail_save) co_return *knobs_.fail_save;
    co_return SavedState{.data = Buffer::copy_of(text)};
  }
  io::Task<Status> on_recover(Buffer data) override {
    ++recovers;
    while (knobs_.hold_recover) co_await changed.wait_next();
    restore(data);
    co_return ok();
  }
  io::Task<Status> on_snapshot_load(Buffer data, NodeId source) override {
    ++loads;
    last_source = source;
    while (knobs_.hold_load) co_await changed.wait_next();
    if (knobs_.fail_load) co_return *knobs_.fail_load;
    restore(data);
    co_return ok();
  }
  void on_leader_start(Term term) override {
    leader_starts.push_back(term);
    values_at_leader_start = values.size();
  }
  void on_leader_stop() override { ++leader_stops; }
  void on_configuration_committed(const raft::ConfState& to) override { configuration = to; }
  void on_error(const Error& reason) override { failure = reason; }

  std::vector<std::string> values;
  std::string begun;
  bool is_applying = false;
  bool saved_while_applying = false;
  LogIndex last;
  Epoch last_epoch;
  size_t refusals = 0;
  size_t saves = 0, recovers = 0, loads = 0, leader_stops = 0, values_at_leader_start = 0;
  NodeId last_source;
  std::vector<Term> leader_starts;
  std::optional<Error> failure;
  raft::ConfState configuration;
  io::Event changed;

 private:
  void restore(const Buffer& data) {
    values.clear();
    last = LogIndex();
    std::string value;
    for (char c : as_text(data.view())) {
      if (c != '\n') {
        value += c;
        continue;
      }
      values.push_back(std::exchange(value, {}));
    }
  }
  const Knobs& knobs_;
};

/// A process with a Host, on a simulated machine; starts anew after a crash.
class Member final : public GroupRecycler {
 public:
  Member(sim::Host& machine, NodeId self, PeerDirectory peers, HostOptions options,
         wal::WalOptions wal)
      : machine_(machine), self_(self), peers_(std::move(peers)), options_(options), wal_(wal) {}
  ~Member() override { crash(sim::CrashKind::kKill); }

  void start() {
    if (!machine_.is_running()) machine_.boot();
    is_open = false;
    machine_.execute([this] {
      client_ = std::make_unique<rpc::Client>(machine_.env(), rpc::ClientOptions(), kKey);
      server_ = std::make_unique<rpc::Server>(machine_.env(), rpc::ServerOptions(), kKey);
      raft_ = std::make_unique<Host>(machine_.env(), self_, *client_, peers_, options_);
      raft_->set_recycler(*this);
      server_->add_one_way(wire::Method::kRaftBatch, *this, &Member::on_batch);
      server_->add(wire::Method::kFetchSnapshot, *this, &Member::on_fetch);
      CHECK(server_->listen(*peers_.find(self_)).ok());
      machine_.env().executor.spawn(open());
    });
  }
  void crash(sim::CrashKind kind) {
    if (!machine_.is_running()) return;
    machine_.crash(kind, [this] {
      raft_.reset();
      server_.reset();
      client_.reset();
      ledgers_.clear();
    });
  }
  io::Task<void> stop() {
    co_await raft_->stop();
    co_await server_->stop();
    co_await client_->stop();
  }
  Ledger& ledger(GroupId group = kGroup) {
    auto& ledger = ledgers_[group];
    if (!ledger) ledger = std::make_unique<Ledger>(machine_.env(), knobs);
    return *ledger;
  }
  io::Task<Status> erase(GroupId id) override {
    erased.push_back(id);
    if (fail_erase) co_return *fail_erase;
    ledgers_.erase(id);
    co_return ok();
  }
  /// After a knob was turned.
  void release() {
    for (auto& [group, ledger] : ledgers_) ledger->changed.notify_all();
  }
  sim::Host& machine() { return machine_; }
  Host& raft() { return *raft_; }
  NodeId self() const { return self_; }
  bool is_up() const { return machine_.is_running() && is_open; }
  Node* node(GroupId group = kGroup) { return is_up() ? raft_->find(group) : nullptr; }
  HostOptions& options() { return options_; }
  /// Before a start: as if the disk had been replaced.
  void lose_log() { wal_.directory += "-new"; }

  Knobs knobs;
  std::vector<GroupId> erased;
  std::optional<Error> fail_erase;
  std::optional<uint64_t> fail_pieces_from;  ///< of snapshots that others fetch here
  size_t pieces_asked = 0;
  std::vector<uint64_t> offsets_asked;
  bool is_open = false;

 private:
  io::Task<void> open() {
    Status opened = co_await raft_->open(machine_.disk(), wal_,
                                         [this](GroupId group) { return &ledger(group); });
    CHECK(opened.ok(), opened.ok() ? "" : opened.error().message());
    is_open = true;
  }
  io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> on_fetch(
      rpc::Call<wire::FetchSnapshotRequest> call) {
    if (!is_open) co_return error(Errc::kUnavailable, "starting");
    ++pieces_asked;
    offsets_asked.push_back(call.request.offset_bytes());
    if (fail_pieces_from && call.request.offset_bytes() >= *fail_pieces_from) {
      co_return error(Errc::kUnavailable, "as asked");
    }
    co_return co_await raft_->on_fetch_snapshot(std::move(call));
  }
  void on_batch(rpc::Call<wire::RaftBatch> batch) {
    if (is_open) raft_->on_batch(std::move(batch));
  }

  sim::Host& machine_;
  const NodeId self_;
  const PeerDirectory peers_;
  HostOptions options_;
  wal::WalOptions wal_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::map<GroupId, std::unique_ptr<Ledger>> ledgers_;
  std::unique_ptr<Host> raft_;
};

struct BedOptions {
  uint64_t seed = 1;
  size_t members_count = 3;
  size_t members_started = 3;  ///< the others never answer
  HostOptions raft;
  wal::WalOptions wal = {.segment_bytes = kMiB};
};

class TestBed {
 public:
  explicit TestBed(BedOptions options = {}) : world(options.seed) {
    PeerDirectory peers;
    std::vector<sim::Host*> machines;
    for (uint64_t i = 1; i <= options.members_count; ++i) {
      machines.push_back(&world.add_host("n" + std::to_string(i)));
      voters.emplace_back(i);
      peers.set(NodeId(i), machines.back()->address(9000));
    }
    for (size_t i = 0; i < options.members_count; ++i) {
      members.push_back(
          std::make_unique<Member>(*machines[i], NodeId(i + 1), peers, options.raft, options.wal));
      if (i < options.members_started) members.back()->start();
    }
    started = options.members_started;
    CHECK(world.run_until([&] { return all_open(); }, 10s));
  }

  Member& member(size_t number) { return *members[number - 1]; }
  bool all_open() const {
    for (size_t i = 0; i < started; ++i) {
      if (!members[i]->is_up()) return false;
    }
    return true;
  }
  void create(GroupId group = kGroup) {
    for (size_t i = 0; i < started; ++i) {
      Member& m = *members[i];
      auto made = world.run(m.machine(), m.raft().create(group, voters, m.ledger(group)));
      CHECK(made.ok());
    }
  }
  /// On the first `voters_count` members alone.
  void create_on_first(size_t voters_count, GroupId group = kGroup) {
    const std::vector<NodeId> first(voters.begin(), voters.begin() + voters_count);
    for (size_t i = 0; i < voters_count; ++i) {
      Member& m = *members[i];
      CHECK(world.run(m.machine(), m.raft().create(group, first, m.ledger(group))).ok());
    }
  }
  void join(Member& m, GroupId group = kGroup) {
    CHECK(world.run(m.machine(), m.raft().join(group, m.ledger(group))).ok());
  }
  /// The member that leads and may serve, once there is one; of the highest term if there are two.
  Member* leader(GroupId group = kGroup) {
    Member* best = nullptr;
    for (auto& m : members) {
      Node* node = m->node(group);
      if (!node || !node->is_ready_leader()) continue;
      if (!best || best->node(group)->status().term < node->status().term) best = m.get();
    }
    return best;
  }
  Member& wait_leader(Duration limit = 30s, GroupId group = kGroup, Member* other_than = nullptr) {
    CHECK(world.run_until([&] { return leader(group) && leader(group) != other_than; }, limit),
          "nobody leads");
    return *leader(group);
  }
  Member& follower_of(Member& leader) {
    for (auto& m : members) {
      if (m.get() != &leader && m->is_up()) return *m;
    }
    check_failed("there is a follower", __FILE__, __LINE__);
  }
  Buffer payload(Member& m, size_t bytes, uint8_t fill) {
    Buffer data = m.machine().env().buffers.allocate(bytes);
    std::ranges::fill(data.mutable_view(), std::byte{fill});
    return data;
  }
  Result<LogIndex> apply(Member& m, std::string value, Buffer data = {}, GroupId group = kGroup) {
    return world.run(m.machine(), m.node(group)->apply(Buffer::copy_of(value), std::move(data)));
  }
  using Outcome = std::optional<Result<LogIndex>>;
  void start_apply(Member& m, std::string value, Outcome* outcome, Buffer data = {},
                   GroupId group = kGroup) {
    m.machine().spawn(
        store(m.node(group)->apply(Buffer::copy_of(value), std::move(data)), outcome));
  }
  template <typename T>
  static io::Task<void> store(io::Task<T> task, std::optional<T>* into) {
    into->emplace(co_await std::move(task));
  }
  void cut_off(Member& m) {
    for (auto& other : members) {
      if (other.get() != &m) world.fabric().cut_both(m.machine(), other->machine());
    }
  }
  /// Until every member that is up has applied what the leader has.
  bool converges(Duration limit = 60s, GroupId group = kGroup) {
    return world.run_until(
        [&] {
          Member* l = leader(group);
          if (!l) return false;
          for (auto& m : members) {
            if (m->machine().is_running() && !m->node(group)) return false;
            if (m->node(group) &&
                m->node(group)->status().applied != l->node(group)->status().last) {
              return false;
            }
          }
          return true;
        },
        limit);
  }

  sim::World world;
  std::vector<NodeId> voters;
  std::vector<std::unique_ptr<Member>> members;
  size_t started = 0;
};

}  // namespace cairn::multiraft::testing
