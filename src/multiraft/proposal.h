/// Proposal: a caller of Node::apply(), waiting in its own frame. Internal to Group.
#pragma once

#include "multiraft/group.h"

namespace cairn::multiraft {

struct Group::Proposal {
  Group& group;
  const Term term;
  const LogIndex index;
  std::optional<Result<LogIndex>> result;
  std::coroutine_handle<> waiter;
  Proposal* next = nullptr;
  Proposal* previous = nullptr;
  bool listed = true;

  Proposal(Group& of, Term t, LogIndex i) : group(of), term(t), index(i) {
    CHECK(!group.proposals_last_ || group.proposals_last_->index < index);
    previous = group.proposals_last_;
    (previous ? previous->next : group.proposals_first_) = this;
    group.proposals_last_ = this;
    ++group.proposals_count_;
  }
  Proposal(const Proposal&) = delete;
  Proposal& operator=(const Proposal&) = delete;
  ~Proposal() { unlist(); }

  void resolve(Result<LogIndex> outcome) {
    unlist();
    result.emplace(std::move(outcome));
    if (waiter) group.host_.env().executor.post(waiter);
  }
  void unlist() {
    if (!std::exchange(listed, false)) return;
    (previous ? previous->next : group.proposals_first_) = next;
    (next ? next->previous : group.proposals_last_) = previous;
    --group.proposals_count_;
  }

  bool await_ready() const noexcept { return result.has_value(); }
  void await_suspend(std::coroutine_handle<> caller) noexcept { waiter = caller; }
  Result<LogIndex> await_resume() { return std::move(*result); }
};

}  // namespace cairn::multiraft
