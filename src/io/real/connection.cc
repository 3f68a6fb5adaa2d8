#include "io/real/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/check.h"
#include "io/real/system_error.h"

namespace cairn::io::real {

namespace {

constexpr size_t kVectorsMax = 256;  // A frame is one or two: over a hundred frames a call.
constexpr int kReceivesMax = 4;      // Then others have their turn, however fast this peer is.

// A peer whose machine is gone is noticed within this, with data under way or without.
constexpr int kPeerTimeoutMs = 10'000;
constexpr int kKeepaliveIdleS = 5;
constexpr int kKeepaliveIntervalS = 2;
constexpr int kKeepaliveProbesCount = 3;

// Unix sockets do not grow their buffer by themselves, as TCP's do.
constexpr int kUnixSendBufferBytes = 1 << 20;

void set_option(int fd, int level, int name, int value) {
  // Only tuning: a kernel that refuses one still has a working socket.
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

}  // namespace

void configure_socket(int fd, int family) {
  if (family == AF_UNIX) {
    set_option(fd, SOL_SOCKET, SO_SNDBUF, kUnixSendBufferBytes);
    return;
  }
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleS);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalS);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbesCount);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kPeerTimeoutMs);
}

SocketConnection::SocketConnection(Executor& executor, EventLoop& loop, UniqueFd socket,
                                   Address peer)
    : executor_(executor), socket_(std::move(socket)), peer_(std::move(peer)) {
  watch_.emplace(loop, socket_.get(), static_cast<FdEvents&>(*this));
}

SocketConnection::~SocketConnection() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  // A last answer, queued just before its owner hangs up, would be lost without a reason.
  if (watch_ && !blocked_) send_queued();
}

void SocketConnection::start(ConnectionHandler& handler) {
  CHECK(handler_ == nullptr, "a connection is started once");
  handler_ = &handler;
  if (broken_unreported_) {
    executor_.at_turn_end(*this);
  } else if (!paused_) {
    watch_->want_readable();
  }
}

void SocketConnection::send(Buffer bytes) {
  if (!watch_ || send_failed_) return;
  send_queue_.push(std::move(bytes));
  if (send_queue_.unsent_bytes() > kUnsentHighBytes) above_high_ = true;
  if (!blocked_) executor_.at_turn_end(*this);
}

void SocketConnection::expect(size_t bytes) {
  CHECK(bytes <= kReceiveBytesMax, "a frame larger than the receive buffer may grow");
  expected_bytes_ = bytes;
}

void SocketConnection::resume_reading() {
  if (!std::exchange(paused_, false) || !watch_ || handler_ == nullptr) return;
  offer_at_turn_end_ = true;  // What came before the pause may be whole frames.
  executor_.at_turn_end(*this);
}

void SocketConnection::on_turn_end() {
  if (broken_unreported_) {
    if (handler_ == nullptr) return;
    const Error reason = *std::exchange(broken_unreported_, std::nullopt);
    handler_->on_closed(reason);  // Last: it may destroy this.
    return;
  }
  if (!watch_) return;
  if (std::exchange(offer_at_turn_end_, false) && !paused_) {
    if (!offer()) return;
    if (!paused_) watch_->want_readable();
  }
  if (!blocked_) flush();
}

void SocketConnection::on_readable() {
  for (int i = 0; i < kReceivesMax; ++i) {
    if (paused_) return;
    const MutableByteView space = received_.space_for(expected_bytes_);
    const ssize_t result = ::recv(socket_.get(), space.data(), space.size(), 0);
    if (result < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      break_off(error(Errc::kClosed, "receive from " + peer_.text + ": " + describe_error(errno)));
      return;
    }
    if (result == 0) {
      break_off(error(Errc::kClosed, peer_.text + " closed the connection"));
      return;
    }
    received_.add(static_cast<size_t>(result));
    if (!offer()) return;
    if (static_cast<size_t>(result) < space.size()) break;  // There was no more just now.
  }
  if (!paused_) watch_->want_readable();
}

bool SocketConnection::offer() {
  bool destroyed = false;
  while (received_.content_bytes() > 0 && received_.content_bytes() >= expected_bytes_) {
    expected_bytes_ = 0;
    destroyed_ = &destroyed;
    const size_t offered_bytes = received_.content_bytes();
    const size_t taken_bytes = handler_->on_bytes(received_.content());
    if (destroyed) return false;
    destroyed_ = nullptr;
    CHECK(taken_bytes <= offered_bytes, "a handler takes no more than it was offered");
    received_.take(taken_bytes);
    // The rest comes again with more behind it, unless the handler has asked for no more than it.
    if (paused_ || taken_bytes == 0 || expected_bytes_ == 0) break;
  }
  return true;
}

void SocketConnection::on_writable() {
  blocked_ = false;
  flush();
}

void SocketConnection::flush() {
  const SendResult result = send_queued();
  if (result == SendResult::kBlocked) {
    blocked_ = true;
    watch_->want_writable();
  } else if (result == SendResult::kFailed) {
    const int error_number = errno;
    send_failed_ = true;
    send_queue_.clear();
    above_high_ = false;
    // The peer may have said why before it went; reading finds that and then the end. Nobody
    // reads: then this is how the owner learns of it.
    if (paused_ || handler_ == nullptr) {
      break_off(
          error(Errc::kClosed, "send to " + peer_.text + ": " + describe_error(error_number)));
      return;
    }
  }
  if (above_high_ && send_queue_.unsent_bytes() < kUnsentLowBytes) {
    above_high_ = false;
    if (handler_ != nullptr) handler_->on_writable();  // Last: it may destroy this.
  }
}

SocketConnection::SendResult SocketConnection::send_queued() {
  std::array<iovec, kVectorsMax> vectors;
  while (!send_queue_.empty()) {
    size_t offered_bytes = 0;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = send_queue_.describe(vectors, &offered_bytes);
    const ssize_t result = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (result < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? SendResult::kBlocked : SendResult::kFailed;
    }
    send_queue_.take(static_cast<size_t>(result));
    if (static_cast<size_t>(result) < offered_bytes) return SendResult::kBlocked;
  }
  return SendResult::kAll;
}

void SocketConnection::break_off(Error reason) {
  watch_.reset();
  socket_.reset();
  send_queue_.clear();
  received_.release();
  if (handler_ == nullptr) {
    broken_unreported_ = std::move(reason);
    return;
  }
  handler_->on_closed(std::move(reason));  // Last: it may destroy this.
}

}  // namespace cairn::io::real
