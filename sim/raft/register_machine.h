/// RegisterMachine: a small replicated state machine: a few registers, each written whole. It shows
/// the witness everything that it applies.
/// Threads: one.
#pragma once

#include <array>
#include <string>

#include "io/env.h"
#include "multiraft/state_machine.h"
#include "sim/raft/coverage.h"
#include "sim/raft/raft_plan.h"
#include "sim/raft/witness.h"

namespace cairn::sim {

/// A command's head. Values are unique in a run, and never 0.
struct RegisterWrite {
  uint64_t value = 0;
  uint32_t number = 0;  ///< of the register
  uint32_t filler_bytes = 0;
};
static_assert(sizeof(RegisterWrite) == 16);

Buffer encode_write(const RegisterWrite& write);
/// Whole blocks that tell their write's value.
Buffer payload_of_write(BufferPool& buffers, uint64_t value, size_t blocks_count);

/// What all machines of a run share.
struct RunContext {
  const RaftPlan& plan;
  RaftWitness& witness;
  Coverage& coverage;
  /// The clients write only where two members believe to lead: a log that grows would keep others
  /// from being elected.
  bool writes_held = false;
  std::string problem;  ///< the first thing that no fault of the plan explains; empty: none

  void count(const std::string& what) { ++coverage[what]; }
  void blame(const std::string& what) {
    if (problem.empty()) problem = what;
  }
};

class RegisterMachine final : public multiraft::StateMachine {
 public:
  RegisterMachine(io::Env env, GroupId group, NodeId node, RunContext& context);

  uint64_t read(uint32_t number) const { return registers_.at(number); }
  const std::array<uint64_t, kRegistersCount>& registers() const { return registers_; }
  /// Its replica is gone: whatever calls it from now on is to blame.
  void retire() { is_retired_ = true; }

  io::Task<Status> on_apply(std::span<multiraft::Command> commands) override;
  void on_epoch(Epoch epoch, LogIndex index) override;
  io::Task<Result<multiraft::SavedState>> on_snapshot_save() override;
  io::Task<Status> on_recover(Buffer data) override;
  io::Task<Status> on_snapshot_load(Buffer data, NodeId source) override;
  uint64_t missing_count() const override;
  void on_leader_start(Term term) override;
  void on_configuration_committed(const raft::ConfState& configuration) override;
  void on_error(const Error& reason) override;

 private:
  /// What a snapshot holds: the index that it is of, what its machine lacked, the registers, and as
  /// much filler as the plan wants, so that it is small or large.
  struct Image {
    uint64_t index = 0;
    uint64_t missing_count = 0;
    std::array<uint64_t, kRegistersCount> registers{};
  };
  Status restore(const Buffer& data);
  Buffer encode_image() const;
  void check_in_use();
  void apply_one(const multiraft::Command& command);
  std::string name() const;

  io::Env env_;
  Rng rng_;
  const GroupId group_;
  const NodeId node_;
  RunContext& context_;
  LogIndex applied_;
  Epoch epoch_;
  /// A change's configuration comes ahead of its epoch, and a snapshot's behind it.
  std::optional<raft::ConfState> unseen_;
  bool is_loaded_ = false;
  /// A part of the state comes in each timeout / 4 until then.
  Instant complete_at_;
  bool is_retired_ = false;
  std::array<uint64_t, kRegistersCount> registers_{};
};

}  // namespace cairn::sim
