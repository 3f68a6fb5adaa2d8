// cairn_bench_raft_core: what the Raft core alone costs. Three members in one thread, storage and
// state machine in memory and done at once; everything that is proposed is replicated, committed
// and applied by all.
//
//   cairn_bench_raft_core [SECONDS]     each measurement
//
// A step is a call of RawNode::step() or propose(). The target is a million a second on one core.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <new>

#include "raft/raw_node.h"

namespace {
uint64_t allocations_count = 0;  // by operator new, since the start
}  // namespace

// The whole program's allocations are counted: the core's are what the numbers are about.
void* operator new(size_t size_bytes) {
  ++allocations_count;
  void* memory = std::malloc(size_bytes);
  if (!memory) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace cairn::raft {
namespace {

constexpr uint64_t kMembers = 3;
constexpr uint64_t kCompactEvery = 4096;  // entries kept in memory, as a host would bound them

struct Member {
  MemoryStorage storage;
  std::unique_ptr<RawNode> raw;
  std::vector<Message> inbox;
  std::vector<Message> taken;  // the inbox that is being worked off
  uint64_t applied_count = 0;
};

class Core {
 public:
  Core(bool asynchronous, uint32_t payload_bytes) : asynchronous_(asynchronous), rng_(1) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    for (uint64_t id = 1; id <= kMembers; ++id) {
      snapshot->metadata.conf_state.voters.push_back(NodeId(id));
    }
    for (uint64_t id = 1; id <= kMembers; ++id) {
      Member& member = members_[id - 1];
      CHECK(member.storage.apply_snapshot(snapshot).ok());
      member.storage.set_hard_state({.term = Term(1), .vote = {}, .commit = LogIndex(1)});
      Config config;
      config.id = NodeId(id);
      config.storage = &member.storage;
      config.rng = &rng_;
      config.async_storage_writes = asynchronous;
      config.check_quorum = config.pre_vote = true;
      member.raw = std::move(RawNode::create(config)).value();
    }
    payload_ = Buffer::allocate(payload_bytes);
    members_[0].raw->campaign();
    settle();
    CHECK(members_[0].raw->is_leader());
  }

  // Proposes `depth` entries, each on its own, and works until all members have applied them.
  void round(size_t depth) {
    for (size_t i = 0; i < depth; ++i) {
      CHECK(members_[0].raw->propose(payload_).ok());
      ++steps_;
    }
    settle();
  }
  uint64_t steps() const { return steps_; }
  uint64_t applied() const { return members_[0].applied_count; }

 private:
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (Member& member : members_) {
        std::swap(member.inbox, member.taken);
        for (Message& message : member.taken) {
          CHECK(member.raw->step(std::move(message)).ok());
          ++steps_;
        }
        member.taken.clear();
        while (member.raw->has_ready()) {
          handle_ready(member);
          busy = true;
        }
      }
      for (const Member& member : members_) busy = busy || !member.inbox.empty();
    }
  }

  void handle_ready(Member& member) {
    Ready ready = member.raw->ready();
    if (!ready.hard_state.empty()) member.storage.set_hard_state(ready.hard_state);
    member.storage.append(ready.entries);
    for (Message& message : ready.messages) route(std::move(message));
    member.applied_count += ready.committed_entries.size();
    if (!asynchronous_) {
      member.raw->advance();
      ++steps_;
    }
    if (member.storage.last_index() + 1 - member.storage.first_index() >= 2 * kCompactEvery) {
      CHECK(member.storage.compact(member.raw->applied() - kCompactEvery).ok());
    }
  }

  void route(Message message) {
    if (!is_local_target(message.to)) {
      members_[message.to.value() - 1].inbox.push_back(std::move(message));
      return;
    }
    for (Message& response : message.responses) route(std::move(response));
  }

  const bool asynchronous_;
  Rng rng_;
  Member members_[kMembers];
  Buffer payload_;
  uint64_t steps_ = 0;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

void measure(bool asynchronous, size_t depth, double seconds) {
  Core core(asynchronous, 64);
  core.round(depth);
  const uint64_t steps_before = core.steps();
  const uint64_t applied_before = core.applied();
  const uint64_t allocations_before = allocations_count;
  const double begin = cpu_seconds();
  double spent = 0;
  while (spent < seconds) {
    for (int i = 0; i < 64; ++i) core.round(depth);
    spent = cpu_seconds() - begin;
  }
  const auto steps = static_cast<double>(core.steps() - steps_before);
  const auto entries = static_cast<double>(core.applied() - applied_before);
  const auto allocations = static_cast<double>(allocations_count - allocations_before);
  std::printf("%-13s %6zu %12.0f %12.0f %14.2f %18.2f\n",
              asynchronous ? "asynchronous" : "synchronous", depth, steps / spent, entries / spent,
              steps / entries, allocations / entries);
}

}  // namespace
}  // namespace cairn::raft

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  if (!(seconds > 0)) {
    std::fprintf(stderr, "usage: cairn_bench_raft_core [SECONDS]\n");
    return 2;
  }
  std::printf("Three members in one thread, on one core; proposals of one entry of 64 bytes\n");
  std::printf("%-13s %6s %12s %12s %14s %18s\n", "storage", "depth", "steps/s", "entries/s",
              "steps/entry", "allocations/entry");
  for (const bool asynchronous : {true, false}) {
    for (const size_t depth : {1UL, 16UL, 128UL}) {
      cairn::raft::measure(asynchronous, depth, seconds);
    }
  }
}
