#include "io/real/event_loop.h"

#define BOOST_ASIO_NO_DEPRECATED
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <list>

#include "base/check.h"

namespace cairn::io::real {

namespace asio = boost::asio;

namespace {

using Executor = asio::io_context::executor_type;  // Concrete: no type erasure on the hot path.
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using boost::system::error_code;

struct SignalWatch {
  asio::basic_signal_set<Executor> signals;
  std::function<void()> callback;
  SignalWatch(asio::io_context& context, int number, std::function<void()> call)
      : signals(context, number), callback(std::move(call)) {
    wait();
  }
  void wait() {
    signals.async_wait([this](error_code failure, int) {
      if (failure) return;
      callback();
      wait();
    });
  }
};

}  // namespace

struct EventLoop::State {
  asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};  // One thread: no locks.
  asio::executor_work_guard<Executor> work{context.get_executor()};
  std::list<SignalWatch> signals;
};

EventLoop::EventLoop() : state_(std::make_unique<State>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::wait(std::optional<Duration> timeout) {
  if (timeout) {
    state_->context.run_one_for(*timeout);
  } else {
    state_->context.run_one();
  }
}

size_t EventLoop::poll(size_t events_max) {
  size_t handled_count = 0;
  while (handled_count < events_max && state_->context.poll_one() > 0) ++handled_count;
  return handled_count;
}

void EventLoop::on_signal(int signal_number, std::function<void()> callback) {
  state_->signals.emplace_back(state_->context, signal_number, std::move(callback));
}

struct FdWatch::State {
  Descriptor descriptor;
  FdEvents* events;  ///< null once the watch is gone
  bool read_wanted = false;
  bool write_wanted = false;
  State(asio::io_context& context, int fd, FdEvents& to) : descriptor(context, fd), events(&to) {}
};

FdWatch::FdWatch(EventLoop& loop, int fd, FdEvents& events)
    : state_(std::make_shared<State>(loop.state_->context, fd, events)) {}

FdWatch::~FdWatch() {
  state_->events = nullptr;
  state_->descriptor.release();  // Cancels what waits; the descriptor stays the owner's.
}

void FdWatch::want_readable() {
  if (std::exchange(state_->read_wanted, true)) return;
  state_->descriptor.async_wait(Descriptor::wait_read, [state = state_](error_code failure) {
    state->read_wanted = false;
    if (state->events == nullptr) return;
    CHECK(!failure, "a wait ends early only when its watch is gone");
    state->events->on_readable();
  });
}

void FdWatch::want_writable() {
  if (std::exchange(state_->write_wanted, true)) return;
  state_->descriptor.async_wait(Descriptor::wait_write, [state = state_](error_code failure) {
    state->write_wanted = false;
    if (state->events == nullptr) return;
    CHECK(!failure, "a wait ends early only when its watch is gone");
    state->events->on_writable();
  });
}

}  // namespace cairn::io::real
