/// Client: calls other processes. One connection an address: made on demand, shared by all calls,
/// kept, and made anew with backoff after it was lost.
///
///   auto answer = co_await client.call<wire::PingReply>(address, wire::Method::kPing, ping, {},
///   1s);
/// A call that finds no connection waits for the attempt under way or for the next one, and fails
/// with it. Errors of a call, besides those that its handler gives:
///   kUnavailable      no connection could be made (nothing was sent), or it was lost while the
///   call
///                     was under way (the outcome is unknown): the message tells which;
///   kTimeout          the deadline passed;
///   kOverloaded       too much is pending or unsent on this connection, or the server is full;
///                     nothing was done;
///   kUnauthenticated  the cluster keys differ;
///   kInvalidArgument  the message or its attachment is over the limit; nothing was sent;
///   kClosed           one of the two is stopping.
/// Costs:    a call allocates its coroutine's frame, the frame that is sent and nothing else; no
///           timer. An idle connection costs nothing.
/// Threads:  one reactor.
/// Lifetime: outlives its calls: stop() has returned before it is destroyed, or none was under way.
/// Source:   docs/formats/rpc.md; ADR-0003.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "io/env.h"
#include "io/sync.h"
#include "rpc/call.h"
#include "rpc/cluster_key.h"
#include "rpc/message.h"

namespace cairn::rpc {

class Channel;
class Client;

struct ClientOptions {
  FrameLimits limits;
  size_t addresses_max = 4096;          ///< that one client ever talks to
  size_t pending_calls_max = 16384;     ///< a connection; more fail with kOverloaded
  size_t unsent_bytes_max = 64 * kMiB;  ///< a connection: above it kOverloaded
  Duration connect_timeout = 2s;
  Duration handshake_timeout = 3s;
  Duration backoff_min = 10ms;  ///< before the next attempt; doubled after each failure
  Duration backoff_max = 1s;
  uint32_t silent_timeouts_max = 3;  ///< timeouts in a row without a byte received
  Duration probe_after = 1s;         ///< one-way messages unanswered so long: a ping
  Duration probe_timeout = 3s;       ///< no byte after a ping: the peer is taken for dead
  Duration sweep_interval = 10ms;    ///< how exactly deadlines are kept
};

/// A call that is ready to be sent.
struct PreparedCall {
  Channel* channel = nullptr;
  OutgoingFrame frame;
  Instant deadline;
  std::optional<Error> failure;  ///< why it cannot be
};

/// A call under way; lives in its caller's coroutine frame and is awaited there.
class PendingCall {
 public:
  /// `reply` is written when the answer arrives.
  PendingCall(PreparedCall prepared, google::protobuf::MessageLite& reply);
  ~PendingCall();
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  bool await_ready() const noexcept { return failure_.has_value(); }
  bool await_suspend(std::coroutine_handle<> caller);
  void await_resume() const noexcept {}

  std::optional<Error>& failure() { return failure_; }
  Buffer& attachment() { return attachment_; }

 private:
  friend class Channel;
  Channel* channel_;
  OutgoingFrame frame_;
  Instant deadline_;
  google::protobuf::MessageLite& reply_;
  Buffer attachment_;
  std::optional<Error> failure_;
  std::coroutine_handle<> waiter_;
  // The channel's list and table of pending calls, while in_table_.
  PendingCall* next_ = nullptr;
  PendingCall* previous_ = nullptr;
  uint32_t slot_ = 0;
  bool in_table_ = false;
  bool sent_ = false;
};

class Client {
 public:
  Client(io::Env env, ClientOptions options, ClusterKey key);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Serializes before it returns; deadline = now + timeout. Sent when the task is awaited.
  template <class Reply, class Request>
  io::Task<Result<Answer<Reply>>> call(io::Address to, wire::Method method, const Request& request,
                                       std::vector<Buffer> attachment, Duration timeout) {
    return run<Reply>(this, prepare(to, method, request, std::move(attachment), timeout));
  }

  /// Queues a message that is not answered and may be lost.
  /// Errors: kOverloaded (send queue full) | kUnavailable (not connected; starts connecting) |
  ///         kInvalidArgument (over a limit) | kClosed. Nothing was sent.
  template <class Request>
  Status send_one_way(const io::Address& to, wire::Method method, const Request& request,
                      std::vector<Buffer> attachment) {
    return queue_one_way(to, method, request, std::move(attachment));
  }

  /// Calls under way fail with kClosed, connections close.
  io::Task<void> stop();

 private:
  friend class Channel;
  friend class PendingCall;

  struct Metrics {
    explicit Metrics(Registry& registry);
    Counter& calls;
    Counter& errors;
    Counter& timeouts;
    Counter& overloaded;
    Counter& late_answers;
    Counter& received_bytes;
    Counter& sent_bytes;
    Counter& connects;
    Counter& connect_failures;
    Gauge& inflight_calls;
  };
  /// Destroys connections after the turn in which they were given up: never from within a call that
  /// the connection itself makes.
  class Graveyard final : public io::TurnHook {
   public:
    void on_turn_end() override { connections.clear(); }
    std::vector<std::unique_ptr<io::Connection>> connections;
  };

  PreparedCall prepare(const io::Address& to, wire::Method method,
                       const google::protobuf::MessageLite& request, std::vector<Buffer> attachment,
                       Duration timeout);
  Status queue_one_way(const io::Address& to, wire::Method method,
                       const google::protobuf::MessageLite& request,
                       std::vector<Buffer> attachment);
  template <class Reply>
  static io::Task<Result<Answer<Reply>>> run(Client* client, PreparedCall prepared);
  Result<Channel*> channel_to(const io::Address& to);
  void bury(std::unique_ptr<io::Connection> connection);
  void arm_sweep();
  void sweep();

  io::Env env_;
  ClientOptions options_;
  ClusterKey key_;
  Metrics metrics_;
  Rng rng_;
  io::Gate gate_;  ///< one holder a call under way
  io::Timer sweep_timer_;
  Graveyard graveyard_;
  std::map<std::string, std::unique_ptr<Channel>, std::less<>> channels_;
};

template <class Reply>
io::Task<Result<Answer<Reply>>> Client::run(Client* client, PreparedCall prepared) {
  auto running = client->gate_.enter();
  if (!running) co_return error(Errc::kClosed, "the client is stopping; nothing was sent");
  Answer<Reply> answer;
  PendingCall pending(std::move(prepared), answer.message);
  co_await pending;
  if (pending.failure()) co_return std::move(*pending.failure());
  if (!pending.attachment().empty()) answer.attachment.push_back(std::move(pending.attachment()));
  co_return answer;
}

}  // namespace cairn::rpc
