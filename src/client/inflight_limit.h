/// InflightLimit: a bound on how many parts, and how many bytes, a volume has under way.
///
/// Those who wait are served in order. A part larger than the whole budget goes alone.
/// Threads: the reactor's.
#pragma once

#include "io/sync.h"

namespace cairn::client {

class InflightLimit {
 public:
  InflightLimit(io::Executor& executor, size_t parts_max, uint64_t bytes_max)
      : executor_(executor), parts_max_(parts_max), bytes_max_(bytes_max) {
    CHECK(parts_max > 0 && bytes_max > 0);
  }
  InflightLimit(const InflightLimit&) = delete;
  InflightLimit& operator=(const InflightLimit&) = delete;

  class Permit {
   public:
    Permit() = default;
    Permit(InflightLimit& from, uint64_t bytes) : from_(&from), bytes_(bytes) {}
    Permit(Permit&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), bytes_(other.bytes_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (from_) from_->release(bytes_);
    }

   private:
    InflightLimit* from_ = nullptr;
    uint64_t bytes_ = 0;
  };

  class Enter : public io::detail::Awaiter {
   public:
    Enter(InflightLimit& limit, uint64_t bytes) : limit_(limit), bytes_(bytes) {}
    ~Enter() {
      if (granted_ && !taken_) limit_.release(bytes_);
    }
    bool await_ready() {
      if (!limit_.waiters_.empty() || !limit_.fits(bytes_)) return false;
      grant();
      return true;
    }
    void await_suspend(std::coroutine_handle<> caller) {
      handle = caller;
      limit_.waiters_.push(*this);
    }
    Permit await_resume() {
      taken_ = true;
      return Permit(limit_, bytes_);
    }

   private:
    friend class InflightLimit;
    void grant() {
      granted_ = true;
      ++limit_.parts_count_;
      limit_.bytes_count_ += bytes_;
    }
    InflightLimit& limit_;
    uint64_t bytes_;
    bool granted_ = false;
    bool taken_ = false;
  };
  Enter enter(uint64_t bytes) { return Enter(*this, bytes); }

  size_t parts_count() const { return parts_count_; }

 private:
  bool fits(uint64_t bytes) const {
    if (parts_count_ == 0) return true;
    return parts_count_ < parts_max_ && bytes_count_ + bytes <= bytes_max_;
  }
  void release(uint64_t bytes) {
    CHECK(parts_count_ > 0 && bytes_count_ >= bytes);
    --parts_count_;
    bytes_count_ -= bytes;
    while (auto* node = waiters_.front()) {
      auto* next = static_cast<Enter*>(node);
      if (!fits(next->bytes_)) return;
      next->unlink();
      next->grant();
      executor_.post(next->handle);
    }
  }

  io::Executor& executor_;
  size_t parts_max_;
  uint64_t bytes_max_;
  size_t parts_count_ = 0;
  uint64_t bytes_count_ = 0;
  io::detail::WaitList waiters_;
};

}  // namespace cairn::client
