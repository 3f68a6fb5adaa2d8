/// Session: the server's side of one connection, from the handshake to its end.
///
/// Lives as long as its connection or one of its calls. Only the sweep and the network's on_closed
/// end a connection, never a call that the connection itself makes to us.
/// Threads: one reactor. Internal to rpc.
#pragma once

#include "rpc/handshake.h"
#include "rpc/server.h"

namespace cairn::rpc {

class Session final : public io::ConnectionHandler {
 public:
  Session(Server& server, uint64_t id, std::unique_ptr<io::Connection> connection);
  ~Session() override;

  /// Sends the challenge and begins to read.
  void start();
  /// Says why in an error frame; the connection closes at the sweep after that has left.
  void refuse(const Error& reason);
  /// What time and the send queue ask for.
  void sweep(Instant now);
  /// There is something that only the sweep will notice.
  bool needs_sweep() const;
  bool has_unsent() const { return connection_ && connection_->unsent_bytes() > 0; }

  /// The answer to a call of this session; dropped if the connection is gone.
  void send_answer(OutgoingFrame frame, uint64_t call_id);
  void call_ended();

 private:
  friend class Responder;
  enum class State {
    kAwaitingProof,
    kReady,
    kClosing,  ///< an error frame is on its way out; input is thrown away
    kClosed,   ///< no connection; calls may still be under way
  };

  size_t on_bytes(ByteView bytes) override;
  void on_closed(Error reason) override;
  void on_writable() override;

  void take_frame(Frame& frame, Instant received_at);
  void take_request(Frame& frame, Instant received_at);
  void take_one_way(Frame& frame, Instant received_at);
  void take_proof(const Frame& frame);
  void fail_call(const FramePrefix& request, const Error& why);
  void send_now(OutgoingFrame frame, uint64_t call_id);
  void leave_handshake();
  void close_connection();

  Server& server_;
  const uint64_t id_;
  const io::Address peer_;
  std::unique_ptr<io::Connection> connection_;  ///< null in kClosed
  State state_ = State::kAwaitingProof;
  bool unproven_ = true;  ///< counted in the server's unproven_count_
  bool paused_ = false;   ///< reading, because of unsent answers
  Nonce server_nonce_{};
  Instant close_by_;        ///< in kAwaitingProof and kClosing
  Instant frame_began_at_;  ///< when the first byte of the frame under way arrived
  FrameReader reader_;
  size_t calls_count_ = 0;
};

}  // namespace cairn::rpc
