#include "io/real/network.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "io/real/connection.h"
#include "io/real/socket_address.h"
#include "io/real/system_error.h"
#include "io/real/unique_fd.h"
#include "io/sync.h"

namespace cairn::io::real {

namespace {

constexpr int kBacklog = 4096;   // The kernel caps it at net.core.somaxconn.
constexpr int kAcceptsMax = 64;  // Then others have their turn.
constexpr Duration kAcceptPause = 100ms;

SocketAddress local_address(int fd) {
  SocketAddress local;
  local.size_bytes = sizeof(local.storage);
  CHECK(::getsockname(fd, local.get(), &local.size_bytes) == 0);
  return local;
}

bool is_shortage(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

class SocketListener final : public Listener, private FdEvents {
 public:
  SocketListener(Executor& executor, EventLoop& loop, Clock& clock, Logger logger, UniqueFd socket,
                 Network::Accept accept)
      : executor_(executor),
        loop_(loop),
        logger_(std::move(logger)),
        socket_(std::move(socket)),
        accept_(std::move(accept)),
        bound_(local_address(socket_.get())),
        address_(format_address(bound_)),
        after_pause_(clock, [this] { watch_.want_readable(); }),
        watch_(loop, socket_.get(), *this) {
    watch_.want_readable();
  }

  ~SocketListener() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (bound_.family() == AF_UNIX) ::unlink(unix_path(bound_).c_str());
  }

  const Address& address() const override { return address_; }

 private:
  void on_readable() override {
    for (int i = 0; i < kAcceptsMax; ++i) {
      SocketAddress peer;
      peer.size_bytes = sizeof(peer.storage);
      UniqueFd socket(
          ::accept4(socket_.get(), peer.get(), &peer.size_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) {
        if (is_shortage(errno)) return pause(errno);
        if (errno == EAGAIN) break;
        continue;  // That connection broke before it was accepted.
      }
      configure_socket(socket.get(), bound_.family());
      bool destroyed = false;
      destroyed_ = &destroyed;
      accept_(std::make_unique<SocketConnection>(
          executor_, loop_, std::move(socket),
          bound_.family() == AF_UNIX ? address_ : format_address(peer)));
      if (destroyed) return;
      destroyed_ = nullptr;
    }
    watch_.want_readable();
  }

  /// The connection stays in the backlog and the socket readable: asking at once would spin.
  void pause(int error_number) {
    logger_.warn("cannot accept connections",
                 {{"address", address_.text}, {"reason", describe_error(error_number)}});
    after_pause_.arm_after(kAcceptPause);
  }

  Executor& executor_;
  EventLoop& loop_;
  Logger logger_;
  UniqueFd socket_;
  Network::Accept accept_;
  SocketAddress bound_;
  Address address_;
  Timer after_pause_;
  FdWatch watch_;
  bool* destroyed_ = nullptr;  // Set by the destructor, for the callback that is running.
};

UniqueFd open_socket(int family) {
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// A server that was killed leaves its unix socket's name behind: takes that away, and nothing that
/// is no socket or that somebody still listens on.
bool remove_dead_unix_socket(const SocketAddress& address) {
  struct stat status{};
  const std::string path = unix_path(address);
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const UniqueFd probe = open_socket(AF_UNIX);
  if (!probe || ::connect(probe.get(), address.get(), address.size_bytes) == 0) return false;
  return errno == ECONNREFUSED && ::unlink(path.c_str()) == 0;
}

/// Waits until a connect under way has ended or the time is over.
class ConnectAttempt final : private FdEvents {
 public:
  ConnectAttempt(Executor& executor, EventLoop& loop, Clock& clock, int fd)
      : ended_(executor), watch_(loop, fd, *this), timer_(clock, [this] { ended_.set(); }) {}

  /// False if the time is over.
  Task<bool> wait(Duration timeout) {
    watch_.want_writable();
    timer_.arm_after(timeout);
    co_await ended_.wait();
    co_return writable_;
  }

 private:
  void on_readable() override {}
  void on_writable() override {
    writable_ = true;
    ended_.set();
  }

  Event ended_;
  bool writable_ = false;
  FdWatch watch_;
  Timer timer_;
};

/// A connect to a free local port out of the ephemeral range may be given that very port as its own
/// end, and then talks to itself.
bool is_connected_to_itself(int fd, const SocketAddress& to) {
  return to.family() != AF_UNIX && format_address(local_address(fd)) == format_address(to);
}

}  // namespace

Result<std::unique_ptr<Listener>> SocketNetwork::listen(Address address, Accept accept) {
  const SocketAddress wanted = TRY(parse_address(address));
  const std::string what = "listen on " + address.text;
  UniqueFd socket = open_socket(wanted.family());
  if (!socket) return system_error(errno, what);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int result = ::bind(socket.get(), wanted.get(), wanted.size_bytes);
  if (result != 0 && errno == EADDRINUSE && wanted.family() == AF_UNIX) {
    const bool removed = remove_dead_unix_socket(wanted);
    errno = EADDRINUSE;
    if (removed) result = ::bind(socket.get(), wanted.get(), wanted.size_bytes);
  }
  if (result != 0) return system_error(errno, what);
  if (::listen(socket.get(), kBacklog) != 0) return system_error(errno, what);
  return std::unique_ptr<Listener>(std::make_unique<SocketListener>(
      executor_, loop_, clock_, logger_, std::move(socket), std::move(accept)));
}

Task<Result<std::unique_ptr<Connection>>> SocketNetwork::connect(Address address,
                                                                 Duration timeout) {
  const SocketAddress to = CO_TRY(parse_address(address));
  const std::string what = "connect to " + address.text;
  UniqueFd socket = open_socket(to.family());
  if (!socket) co_return error(Errc::kUnavailable, what + ": " + describe_error(errno));
  configure_socket(socket.get(), to.family());
  if (::connect(socket.get(), to.get(), to.size_bytes) != 0) {
    if (errno != EINPROGRESS) {
      co_return error(Errc::kUnavailable, what + ": " + describe_error(errno));
    }
    ConnectAttempt attempt(executor_, loop_, clock_, socket.get());
    if (!co_await attempt.wait(timeout)) {
      co_return error(Errc::kUnavailable,
                      what + ": no answer within " + std::to_string(to_ms(timeout)) + " ms");
    }
    int error_number = 0;
    socklen_t size_bytes = sizeof(error_number);
    CHECK(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error_number, &size_bytes) == 0);
    if (error_number != 0) {
      co_return error(Errc::kUnavailable, what + ": " + describe_error(error_number));
    }
  }
  if (is_connected_to_itself(socket.get(), to)) {
    co_return error(Errc::kUnavailable, what + ": " + describe_error(ECONNREFUSED));
  }
  co_return std::unique_ptr<Connection>(
      std::make_unique<SocketConnection>(executor_, loop_, std::move(socket), std::move(address)));
}

void SystemEntropy::fill(MutableByteView into) {
  size_t done_bytes = 0;
  while (done_bytes < into.size()) {
    const ssize_t result = ::getrandom(into.data() + done_bytes, into.size() - done_bytes, 0);
    if (result < 0 && errno == EINTR) continue;
    CHECK(result > 0, "the kernel's random numbers never run out");
    done_bytes += static_cast<size_t>(result);
  }
}

}  // namespace cairn::io::real
