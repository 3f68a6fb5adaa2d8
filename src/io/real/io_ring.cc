#include "io/real/io_ring.h"

#include <cerrno>

#include "base/check.h"
#include "io/real/system_error.h"

namespace cairn::io::real {

namespace {

constexpr unsigned kSubmissionsCount = 256;  // A fuller turn is submitted in several calls.

/// Best first. COOP_TASKRUN (Linux 5.19) spares a running thread the interrupt at each completion;
/// TASKRUN_FLAG tells in memory whether asking for completions is worth a system call.
/// DEFER_TASKRUN is left out: with it, Linux 6.18 wakes nobody who polls the ring's descriptor.
constexpr unsigned kSetupFlags[] = {
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

}  // namespace

RingOp::~RingOp() {
  if (stage_ != Stage::kIdle) ring_.forget(*this);
}

void RingOp::await_suspend(std::coroutine_handle<> caller) {
  CHECK(stage_ == Stage::kIdle, "an operation is awaited by one, once at a time");
  caller_ = caller;
  ring_.enqueue(*this);
}

Result<std::unique_ptr<IoRing>> IoRing::create(Executor& executor, EventLoop& loop) {
  int failure = 0;
  for (const unsigned flags : kSetupFlags) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE;
    params.cq_entries = kInFlightMax;  // So that completions can never overflow their queue.
    io_uring ring{};
    failure = -io_uring_queue_init_params(kSubmissionsCount, &ring, &params);
    if (failure == 0) {
      auto created = std::unique_ptr<IoRing>(new IoRing(executor, ring));
      created->watch_.emplace(loop, created->ring_.ring_fd, static_cast<FdEvents&>(*created));
      return created;
    }
    if (failure != EINVAL) break;
  }
  return error(Errc::kUnsupported, "io_uring cannot be set up: " + describe_error(failure) +
                                       "; is it disabled (sysctl kernel.io_uring_disabled) or "
                                       "forbidden by a container's seccomp profile?");
}

IoRing::IoRing(Executor& executor, io_uring ring) : executor_(executor), ring_(ring) {}

IoRing::~IoRing() {
  CHECK(in_flight_count_ == 0 && waiting_first_ == nullptr,
        "a ring is destroyed after the last operation has completed");
  watch_.reset();
  io_uring_queue_exit(&ring_);
}

void IoRing::enqueue(RingOp& op) {
  if (waiting_first_ == nullptr && in_flight_count_ < kInFlightMax) {
    push(op);
    return;
  }
  op.stage_ = RingOp::Stage::kWaiting;
  op.next_waiting_ = nullptr;
  (waiting_last_ ? waiting_last_->next_waiting_ : waiting_first_) = &op;
  waiting_last_ = &op;
}

void IoRing::push(RingOp& op) {
  io_uring_sqe* slot = io_uring_get_sqe(&ring_);
  if (slot == nullptr) {
    submit();
    slot = io_uring_get_sqe(&ring_);
  }
  if (slot == nullptr) {  // The kernel is short of memory: it takes nothing at the moment.
    op.stage_ = RingOp::Stage::kIdle;
    op.result_ = -ENOMEM;
    executor_.post(op.caller_);
    return;
  }
  *slot = op.sqe_;
  io_uring_sqe_set_data(slot, &op);
  op.stage_ = RingOp::Stage::kInFlight;
  ++in_flight_count_;
}

void IoRing::push_waiting() {
  while (waiting_first_ != nullptr && in_flight_count_ < kInFlightMax) {
    RingOp& op = *waiting_first_;
    waiting_first_ = op.next_waiting_;
    if (waiting_first_ == nullptr) waiting_last_ = nullptr;
    push(op);
  }
}

void IoRing::submit() {
  if (io_uring_sq_ready(&ring_) == 0) return;
  int result = 0;
  do {
    result = io_uring_submit(&ring_);
  } while (result == -EINTR);
  // Short of memory, or completions have to be reaped first: the next turn tries again.
  CHECK(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -ENOMEM,
        "io_uring_enter failed");
}

bool IoRing::has_completions() const {
  return io_uring_cq_ready(&ring_) > 0 ||
         (*ring_.sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool IoRing::reap() {
  if (!has_completions()) return false;
  if (io_uring_cq_ready(&ring_) == 0) io_uring_get_events(&ring_);
  const unsigned ready_count = io_uring_cq_ready(&ring_);
  for (unsigned i = 0; i < ready_count; ++i) {
    io_uring_cqe* completion = nullptr;
    if (io_uring_peek_cqe(&ring_, &completion) != 0) break;
    auto& op = *static_cast<RingOp*>(io_uring_cqe_get_data(completion));
    CHECK(op.stage_ == RingOp::Stage::kInFlight);
    op.result_ = completion->res;
    op.stage_ = RingOp::Stage::kIdle;
    io_uring_cqe_seen(&ring_, completion);
    --in_flight_count_;
    if (op.caller_) executor_.post(op.caller_);
  }
  push_waiting();
  return ready_count > 0;
}

void IoRing::arm_wakeup() {
  if (in_flight_count_ > 0) watch_->want_readable();
}

void IoRing::forget(RingOp& op) {
  if (op.stage_ == RingOp::Stage::kWaiting) {
    RingOp** link = &waiting_first_;
    RingOp* previous = nullptr;
    while (*link != &op) {
      CHECK(*link != nullptr, "a waiting operation is on the list");
      previous = *link;
      link = &previous->next_waiting_;
    }
    *link = op.next_waiting_;
    if (waiting_last_ == &op) waiting_last_ = previous;
    op.stage_ = RingOp::Stage::kIdle;
    return;
  }
  // Only the taking apart of a whole process gets here, and a disk operation ends by itself.
  op.caller_ = nullptr;  // Its frame is on its way out and is not resumed.
  while (op.stage_ == RingOp::Stage::kInFlight) {
    submit();
    io_uring_cqe* completion = nullptr;
    const int result = io_uring_wait_cqe(&ring_, &completion);
    CHECK(result == 0 || result == -EINTR || result == -EAGAIN, "io_uring_enter failed");
    reap();
  }
}

}  // namespace cairn::io::real
