/// Session: one client's connection, from the greeting to the last reply.
///
/// Requests run concurrently, each as a coroutine; their number and their bytes are bounded by not
/// reading on. A payload is copied once, from the receive buffer into an aligned buffer. What a
/// turn makes of replies leaves together at its end. A client that breaks the protocol loses its
/// connection; nobody else notices. Threads:  the reactor's. Lifetime: destroyed by the server
/// after `on_end`, when no coroutine of it is left.
#pragma once

#include <functional>
#include <memory>

#include "gateway/nbd/negotiation.h"
#include "gateway/nbd/request.h"
#include "io/env.h"

namespace cairn::nbd {

struct SessionLimits {
  size_t inflight_requests_max = 256;
  /// Payloads of requests under way, read and write; one request always fits.
  uint64_t inflight_bytes_max = 64 * kMiB;
  /// Replies that the client does not read: above it no request is read either.
  uint64_t unsent_bytes_max = 64 * kMiB;
  /// For the last replies, when a session ends.
  Duration drain_timeout = 1s;
};

/// Shared by the sessions of a server.
struct SessionMetrics {
  explicit SessionMetrics(Registry& registry);
  Counter& requests;
  Counter& failures;
  Counter& read_bytes;
  Counter& written_bytes;
  Counter& broken_sessions;
};

class Session final : private io::ConnectionHandler, private io::TurnHook {
 public:
  Session(io::Env env, ExportSource& source, SessionLimits limits, SessionMetrics& metrics,
          std::unique_ptr<io::Connection> connection, std::function<void()> on_end);
  ~Session() override;

  void start();
  /// Refuses new requests with ESHUTDOWN and ends when those under way have been answered.
  void stop();
  bool is_negotiating() const { return phase_ == Phase::kHandshake; }
  /// Ends a handshake that takes too long.
  void give_up_handshake();

 private:
  enum class Phase : uint8_t {
    kHandshake,
    kTransmission,
    kEnding,  ///< no request is read any more; replies still leave
    kEnded,   ///< the connection is gone
  };

  // ConnectionHandler, TurnHook
  size_t on_bytes(ByteView bytes) override;
  void on_closed(Error reason) override;
  void on_writable() override;
  void on_turn_end() override;

  io::Task<void> run_handshake();
  void begin_transmission(Negotiated negotiated);

  // Requests come in.
  size_t consume_requests(ByteView bytes);
  size_t consume_payload(ByteView bytes);
  void begin_request(const Request& request);
  void start_request(Buffer payload);
  bool is_full() const;
  void pause_if_full();
  void resume_if_possible();
  uint64_t cost_bytes(const Request& request) const;

  // Requests are carried out.
  io::Task<void> run_request(Request request, Buffer payload);
  io::Task<void> run_read(Request request);
  io::Task<void> run_block_status(Request request);
  io::Task<Status> change(Request request, Buffer payload);

  // Replies go out.
  void send_read_reply(const Request& request, std::vector<client::ReadPiece> pieces);
  void send_pieces(const Request& request, const std::vector<client::ReadPiece>& pieces);
  void send_status(const Request& request, const Status& status);
  void send_failure(const Request& request, Fault fault, std::string_view text);
  Bytes& small_bytes();  ///< where headers are collected; sent at the turn's end
  void send_payload(Buffer payload);
  void send_zeros(uint64_t size_bytes);
  void flush_small_bytes();

  // The end.
  void break_off(const Error& reason);
  void begin_end();
  io::Task<void> drain();
  void drop_connection();
  void task_ended();
  void report_end();

  io::Env env_;
  ExportSource& source_;
  const SessionLimits limits_;
  SessionMetrics& metrics_;
  std::unique_ptr<io::Connection> connection_;
  std::function<void()> on_end_;
  std::string peer_;

  Phase phase_ = Phase::kHandshake;
  bool is_stopping_ = false;
  bool is_paused_ = false;
  bool is_draining_ = false;
  size_t tasks_count_ = 0;  ///< coroutines of this session that have not ended
  size_t inflight_requests_count_ = 0;
  uint64_t inflight_bytes_ = 0;
  io::Event idle_;  ///< notified when no request is under way, or the connection is gone

  HandshakeInput handshake_input_;
  std::unique_ptr<Negotiation> negotiation_;
  std::shared_ptr<Export> export_;  ///< shared with the other connections of the export
  Agreement agreement_;

  // The write whose payload is coming in.
  Request receiving_;
  Refusal receiving_refusal_;
  Buffer receiving_payload_;  ///< empty while the payload is skipped
  uint32_t received_bytes_ = 0;
  bool is_receiving_payload_ = false;

  Bytes small_bytes_;
  Buffer zeros_;  ///< made when a hole is first sent
};

}  // namespace cairn::nbd
