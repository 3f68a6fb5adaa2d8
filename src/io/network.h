/// Network: reliable ordered byte streams between addresses.
///
/// Receiving is by callback into the connection's owner and sending by a bounded queue that is
/// written once a turn, so that no coroutine is spent on either side for each frame.
/// Threads: the reactor's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "base/units.h"
#include "io/task.h"

namespace cairn::io {

/// "host:port" for TCP with a literal address, or "unix:/path".
struct Address {
  std::string text;
  auto operator<=>(const Address&) const = default;
};

/// What a connection tells its owner. All calls come from the reactor, never from inside a call
/// that the owner makes on the connection.
class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  /// Some bytes arrived; they lie in the connection's receive buffer. Returns how many were
  /// consumed: the rest is offered again, with more behind it. `wanted_bytes_min` (see
  /// Connection::expect) says how much has to be there before the next call.
  virtual size_t on_bytes(ByteView bytes) = 0;
  /// The peer closed, the connection broke, or close() was called on it by the network. Called
  /// once; the handler may destroy the connection from within.
  virtual void on_closed(Error reason) = 0;
  /// The send queue fell below Connection::kUnsentLowBytes after it had been over kUnsentHighBytes.
  virtual void on_writable() {}
};

class Connection {
 public:
  virtual ~Connection() = default;  ///< closes; no callback comes afterwards

  /// Starts receiving. Called once, before anything arrives.
  virtual void start(ConnectionHandler& handler) = 0;
  /// Queues bytes; all that a turn queues goes out in few scatter-gather writes at its end. The
  /// buffers are kept until they are sent. Ignored on a closed connection.
  virtual void send(Buffer bytes) = 0;
  /// Bytes queued and not yet taken by the kernel. The owner stops producing above its own limit;
  /// one that waits for on_writable() has a limit of at least kUnsentHighBytes.
  virtual size_t unsent_bytes() const = 0;
  /// on_bytes() is next called when this many bytes are there (one large frame, say): the receive
  /// buffer grows to hold them. At most kReceiveBytesMax.
  virtual void expect(size_t bytes) = 0;
  /// Stops and resumes reading from the peer: backpressure.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  virtual const Address& peer() const = 0;

  static constexpr size_t kReceiveBytesMax = size_t{80} << 20;
  static constexpr size_t kUnsentHighBytes = size_t{256} << 10;
  static constexpr size_t kUnsentLowBytes = size_t{64} << 10;
};

class Listener {
 public:
  virtual ~Listener() = default;  ///< stops listening
  /// The address bound, with the port that the system chose if 0 was asked for.
  virtual const Address& address() const = 0;
};

class Network {
 public:
  virtual ~Network() = default;

  using Accept = std::function<void(std::unique_ptr<Connection>)>;
  virtual Result<std::unique_ptr<Listener>> listen(Address address, Accept accept) = 0;
  /// kUnavailable: refused, unreachable, or not answered within `timeout`.
  virtual Task<Result<std::unique_ptr<Connection>>> connect(Address address, Duration timeout) = 0;
};

/// Unpredictable bytes, for nonces and tokens. The simulator's are seeded.
class Entropy {
 public:
  virtual ~Entropy() = default;
  virtual void fill(MutableByteView into) = 0;
};

}  // namespace cairn::io
