/// SocketConnection: a Connection on a stream socket.
#pragma once

#include <optional>

#include "io/executor.h"
#include "io/network.h"
#include "io/real/event_loop.h"
#include "io/real/receive_buffer.h"
#include "io/real/send_queue.h"
#include "io/real/unique_fd.h"

namespace cairn::io::real {

/// Receives by readiness into one buffer that is used again and again, and offers whatever arrived
/// at once: under load many frames a system call. Sends at the end of the turn, all buffers of the
/// turn by one sendmsg. Connection buffers are not bounded here: the owner bounds what it sends by
/// unsent_bytes() and what it receives by expect() and pause_reading().
class SocketConnection final : public Connection, private FdEvents, private TurnHook {
 public:
  /// `socket` is connected and non-blocking.
  SocketConnection(Executor& executor, EventLoop& loop, UniqueFd socket, Address peer);
  ~SocketConnection() override;  ///< offers the kernel once more what this turn has queued

  void start(ConnectionHandler& handler) override;
  void send(Buffer bytes) override;
  size_t unsent_bytes() const override { return send_queue_.unsent_bytes(); }
  void expect(size_t bytes) override;
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  const Address& peer() const override { return peer_; }

 private:
  void on_readable() override;
  void on_writable() override;
  void on_turn_end() override;
  /// Gives the handler what is there; false if it destroyed the connection.
  bool offer();
  void flush();
  enum class SendResult : uint8_t { kAll, kBlocked, kFailed };
  SendResult send_queued();
  void break_off(Error reason);

  Executor& executor_;
  UniqueFd socket_;
  std::optional<FdWatch> watch_;  // Absent once the connection has broken.
  Address peer_;
  ConnectionHandler* handler_ = nullptr;
  std::optional<Error> broken_unreported_;  // Broke before start(), which reports it.

  ReceiveBuffer received_;
  size_t expected_bytes_ = 0;  // By expect() since the last on_bytes(); 0: any number.
  bool paused_ = false;
  bool offer_at_turn_end_ = false;

  SendQueue send_queue_;
  bool blocked_ = false;  // The kernel's buffer is full: waits until it is writable.
  bool above_high_ = false;
  bool send_failed_ = false;  // Nothing more can be sent; what was received is still delivered.

  bool* destroyed_ = nullptr;  // Set by the destructor, for the callback that is running.
};

/// Options of every stream socket of Cairn, accepted or connected.
void configure_socket(int fd, int family);

}  // namespace cairn::io::real
