/// Server: takes calls on a listening socket and hands them to the services of this process.
///
///   rpc::Server server(env, {}, key);
///   server.add(wire::Method::kReadChunk, service, &ChunkService::read_chunk);
///   auto address = server.listen({"127.0.0.1:0"});
///   ...
///   co_await server.stop();
/// Every call runs as a coroutine of its own. What is over a limit is refused at once with
/// kOverloaded; a peer that sends what is not a sound frame loses its connection, the others notice
/// nothing. A handler whose caller has gone runs to its end and its answer is dropped.
/// Threads:  one reactor.
/// Lifetime: services outlive the server; stop() has returned before it is destroyed, or nothing
/// was
///           under way.
/// Source:   docs/formats/rpc.md; ADR-0003.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "io/env.h"
#include "io/sync.h"
#include "rpc/call.h"
#include "rpc/cluster_key.h"
#include "rpc/message.h"

namespace cairn::rpc {

class Server;
class Services;
class Session;

struct ServerOptions {
  FrameLimits limits;
  size_t inflight_calls_max = 5000;        ///< of the server; more are answered kOverloaded
  size_t inflight_bytes_max = 256 * kMiB;  ///< of attachments received and not yet answered
  size_t connections_max = 4096;           ///< more are refused
  size_t connections_unproven_max = 128;   ///< that have not finished the handshake
  size_t unsent_bytes_max = 64 * kMiB;     ///< a connection: above it reading pauses
  Duration handshake_timeout = 3s;
  Duration drain_timeout = 1s;     ///< for the last answers, when stopping
  Duration sweep_interval = 10ms;  ///< how exactly the times above are kept
};

/// The right to answer one call, once. Dropped without an answer only where frames are destroyed.
class Responder {
 public:
  Responder(Session& session, const FramePrefix& request, io::Gate::Holder running,
            ReceiveBudget::Hold hold);
  Responder(Responder&& other) noexcept;
  Responder& operator=(Responder&&) = delete;
  ~Responder();

  void answer(const google::protobuf::MessageLite& reply, std::vector<Buffer> attachment);
  void fail(const Error& error);

 private:
  Session* session_;  ///< kept until its last call has ended
  uint64_t call_id_;
  wire::Method method_;
  io::Gate::Holder running_;
  ReceiveBudget::Hold hold_;
};

/// A request on its way to its handler.
struct Incoming {
  ByteView header;  ///< valid during the call
  Buffer attachment;
  Instant deadline;
  const io::Address& peer;
};

/// What a method does, without its types.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void start(io::Executor& executor, Incoming incoming, Responder responder) = 0;
};
class OneWayHandler {
 public:
  virtual ~OneWayHandler() = default;
  /// False if the message cannot be read.
  virtual bool take(Incoming incoming) = 0;
};

class Server {
 public:
  Server(io::Env env, ServerOptions options, ClusterKey key);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  template <class S, class Request, class Reply>
  void add(wire::Method method, S& service,
           io::Task<Result<Answer<Reply>>> (S::*member)(Call<Request>));
  /// A plain function that is called while frames are read: it must not take long.
  template <class S, class Request>
  void add_one_way(wire::Method method, S& service, void (S::*member)(Call<Request>));

  /// Answers the methods of `services` as well, until detach(). None is attached already, and none
  /// of them is one of the server's own.
  void attach(Services& services);
  void detach(Services& services);
  /// What a call of a method that is not here at present is told; else kUnsupported.
  void set_absent(std::function<Error(wire::Method)> absent) { absent_ = std::move(absent); }

  /// Listens, also on several addresses; returns the one bound. The errors are the network's.
  Result<io::Address> listen(io::Address address);
  /// Listens no more, answers new calls with kClosed, waits for those under way and for their
  /// answers to leave, closes all connections.
  io::Task<void> stop();

  size_t connections_count() const { return sessions_.size(); }
  size_t inflight_calls_count() const { return gate_.holders_count(); }

 private:
  friend class Session;
  friend class Responder;

  struct Metrics {
    explicit Metrics(Registry& registry);
    Counter& calls;
    Counter& errors;
    Counter& expired;
    Counter& overloaded;
    Counter& received_bytes;
    Counter& sent_bytes;
    Counter& unauthenticated;
    Counter& broken_connections;
    Gauge& inflight_calls;
    Gauge& connections;
  };

  void add_handler(wire::Method method, std::unique_ptr<Handler> handler);
  void add_handler(wire::Method method, std::unique_ptr<OneWayHandler> handler);
  Handler* find_handler(wire::Method method) const;
  Error absent_error(wire::Method method) const;
  void accept(std::unique_ptr<io::Connection> connection);
  void forget(uint64_t session_id);
  void arm_sweep();
  void sweep();
  bool has_unsent() const;

  io::Env env_;
  ServerOptions options_;
  ClusterKey key_;
  Metrics metrics_;
  std::map<wire::Method, std::unique_ptr<Handler>> handlers_;
  std::map<wire::Method, std::unique_ptr<OneWayHandler>> one_way_handlers_;
  Services* attached_ = nullptr;
  std::function<Error(wire::Method)> absent_;
  ReceiveBudget budget_;  ///< outlives the sessions and their calls
  io::Gate gate_;         ///< one holder a call under way
  uint64_t next_session_id_ = 1;
  size_t unproven_count_ = 0;  ///< sessions that have not finished the handshake
  bool stopping_ = false;
  Instant drain_until_;
  io::Event drained_;
  io::Timer sweep_timer_;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;  ///< in the order of their arrival
  std::vector<std::unique_ptr<io::Listener>> listeners_;
};

/// kInvalidArgument: the request cannot be read.
template <class Request>
Result<Call<Request>> decode_call(Incoming incoming) {
  Call<Request> call;
  if (!decode(incoming.header, call.request)) {
    return error(Errc::kInvalidArgument, "the request cannot be read; nothing was done");
  }
  call.attachment = std::move(incoming.attachment);
  call.deadline = incoming.deadline;
  call.peer = incoming.peer;
  return call;
}

template <class Reply>
void respond(Result<Answer<Reply>> result, Responder& responder) {
  if (result.ok()) {
    responder.answer(result->message, std::move(result->attachment));
  } else {
    responder.fail(result.error());
  }
}

namespace detail {

template <class S, class Request, class Reply>
class MemberHandler final : public Handler {
 public:
  using Member = io::Task<Result<Answer<Reply>>> (S::*)(Call<Request>);
  MemberHandler(S& service, Member member) : service_(service), member_(member) {}

  void start(io::Executor& executor, Incoming incoming, Responder responder) override {
    auto call = decode_call<Request>(std::move(incoming));
    if (!call.ok()) return responder.fail(call.error());
    executor.spawn(run(&service_, member_, std::move(*call), std::move(responder)));
  }

 private:
  static io::Task<void> run(S* service, Member member, Call<Request> call, Responder responder) {
    respond(co_await (service->*member)(std::move(call)), responder);
  }

  S& service_;
  Member member_;
};

template <class S, class Request>
class MemberOneWayHandler final : public OneWayHandler {
 public:
  using Member = void (S::*)(Call<Request>);
  MemberOneWayHandler(S& service, Member member) : service_(service), member_(member) {}

  bool take(Incoming incoming) override {
    auto call = decode_call<Request>(std::move(incoming));
    if (!call.ok()) return false;
    (service_.*member_)(std::move(*call));
    return true;
  }

 private:
  S& service_;
  Member member_;
};

}  // namespace detail

template <class S, class Request, class Reply>
void Server::add(wire::Method method, S& service,
                 io::Task<Result<Answer<Reply>>> (S::*member)(Call<Request>)) {
  using Adapter = detail::MemberHandler<S, Request, Reply>;
  add_handler(method, std::unique_ptr<Handler>(std::make_unique<Adapter>(service, member)));
}

template <class S, class Request>
void Server::add_one_way(wire::Method method, S& service, void (S::*member)(Call<Request>)) {
  using Adapter = detail::MemberOneWayHandler<S, Request>;
  add_handler(method, std::unique_ptr<OneWayHandler>(std::make_unique<Adapter>(service, member)));
}

}  // namespace cairn::rpc
