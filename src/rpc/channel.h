/// Channel: a client's way to one address: the connection, the calls that wait for it or for their
/// answers, and the attempts to get it back.
///
/// Pending calls are found by slot, so a call allocates nothing here; a call id is the slot and the
/// slot's generation, so a late answer to an earlier call finds nobody. Callers are woken by the
/// executor, never inline.
/// Threads: one reactor. Internal to rpc.
#pragma once

#include "rpc/client.h"
#include "rpc/handshake.h"

namespace cairn::rpc {

class Channel final : public io::ConnectionHandler {
 public:
  Channel(Client& client, io::Address address);
  ~Channel() override;

  /// Sends the call, or lets it wait for the connection. False: it has failed at once.
  bool begin(PendingCall& call);
  /// The call leaves the table, whatever its state.
  void leave(PendingCall& call);
  Status send_one_way(OutgoingFrame frame);

  /// Deadlines, handshake, backoff, probes. True while there is something to watch.
  bool sweep(Instant now);
  /// Fails what is pending and gives the connection up, for good.
  void close();

 private:
  enum class State {
    kIdle,         ///< no connection; the next attempt not before next_attempt_at_
    kConnecting,   ///< connect() is under way
    kHandshaking,  ///< until handshake_by_
    kReady,
    kClosed,
  };
  /// One entry of the table of pending calls.
  struct Slot {
    PendingCall* call = nullptr;
    uint32_t generation = 1;
  };

  size_t on_bytes(ByteView bytes) override;
  void on_closed(Error reason) override;

  /// Not ok: the connection has to be given up, for this reason.
  Status take_frame(Frame& frame);
  Status take_challenge(const Frame& frame);
  Status take_welcome(const Frame& frame);
  Status take_answer(Frame& frame);
  void begin_attempt();
  static io::Task<void> connect(std::shared_ptr<Channel*> attempt, io::Network& network,
                                io::Address address, Duration timeout);
  void connected(Result<std::unique_ptr<io::Connection>> result);
  void attempt_failed(const Error& reason);
  void become_ready();
  void lose_connection(const Error& reason);
  void schedule_next_attempt();

  void send_call(PendingCall& call, Instant now);
  void send_now(OutgoingFrame frame, uint64_t call_id, uint32_t budget_ms);
  void fail_pending(const Error& if_unsent, const Error& if_sent);
  void complete(PendingCall& call);
  void complete(PendingCall& call, Error failure);
  PendingCall* find(uint64_t call_id);
  bool refuse(PendingCall& call, Error failure);
  void enter_table(PendingCall& call);
  void probe_if_silent(Instant now);
  void probe(Instant now);
  void sweep_calls(Instant now);

  Client& client_;
  const io::Address address_;
  State state_ = State::kIdle;
  std::unique_ptr<io::Connection> connection_;  ///< in kHandshaking and kReady
  /// In kConnecting: shared with connect(), which finds null in it when the channel has gone.
  std::shared_ptr<Channel*> attempt_;
  std::optional<FrameReader> reader_;
  Nonce server_nonce_{};
  Nonce client_nonce_{};
  Instant handshake_by_;
  Instant next_attempt_at_;
  uint32_t failed_attempts_ = 0;  ///< in a row
  uint32_t silent_timeouts_ = 0;  ///< sweeps that found timed-out calls, since the last byte
  Instant last_received_at_;
  std::optional<Instant> probe_by_;     ///< a ping is out; a byte has to arrive until then
  std::optional<Errc> logged_failure_;  ///< of this series of attempts: said once, not each time

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  PendingCall* first_ = nullptr;  ///< all pending calls, in the order of their beginning
  PendingCall* last_ = nullptr;
  size_t pending_count_ = 0;
  size_t waiting_bytes_ = 0;  ///< of frames that wait for a connection
};

}  // namespace cairn::rpc
