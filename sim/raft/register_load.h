/// RegisterLoad: clients of the registers. They call the members in their own processes, so that
/// every member that believes to lead can be asked, however cut off it is.
/// Threads: one.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/check/register_check.h"
#include "sim/raft/member.h"

namespace cairn::sim {

class RegisterLoad {
 public:
  RegisterLoad(World& world, std::vector<std::unique_ptr<RaftMember>>& members,
               RunContext& context);
  ~RegisterLoad();
  RegisterLoad(const RegisterLoad&) = delete;
  RegisterLoad& operator=(const RegisterLoad&) = delete;

  /// Operations begin at random until stop().
  void begin();
  void stop();
  size_t pending_count() const { return pending_count_; }

  /// Writes one register of the group and reads it back through whoever leads; a virtual time of
  /// `limit` for both. What did not succeed, or nothing.
  std::string prove_service(GroupId group, Duration limit);

  /// The first violation of linearizability; empty: none.
  std::string check() const;
  uint64_t ops_count() const { return ops_count_; }
  uint64_t failed_ops_count() const { return failed_ops_count_; }

 private:
  struct Op {
    RegisterOp entry;
    bool counts = true;  ///< false: it surely had no effect, and tells nothing
  };
  /// Of one register of one group.
  using History = std::deque<Op>;  // references hold while it grows

  void schedule();
  void begin_op();
  RaftMember* pick_member(GroupId group);
  size_t leaders_count(GroupId group);
  Op& new_op(GroupId group, uint32_t number, bool is_write);
  void start_write(RaftMember& member, GroupId group, uint32_t number, bool* succeeded);
  void start_read(RaftMember& member, GroupId group, uint32_t number, bool* succeeded);
  io::Task<void> write(multiraft::Node* node, Buffer head, Buffer payload, Term only_in, Op* op,
                       bool* succeeded);
  io::Task<void> read(multiraft::Node* node, RegisterMachine* machine, uint32_t number, Op* op,
                      bool* succeeded);

  World& world_;
  std::vector<std::unique_ptr<RaftMember>>& members_;
  RunContext& context_;
  Rng rng_;
  std::map<std::pair<GroupId, uint32_t>, History> histories_;
  Moment now_ = 0;
  uint64_t last_value_ = 0;
  EventId next_ = 0;
  size_t pending_count_ = 0;
  uint64_t ops_count_ = 0;
  uint64_t failed_ops_count_ = 0;
};

}  // namespace cairn::sim
