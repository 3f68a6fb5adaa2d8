/// Server: NBD for unmodified clients, over Unix sockets and TCP, several exports at once.
///
///   nbd::Server server(env, {}, source);
///   auto address = server.listen({"unix:/run/cairn/nbd.sock"});
///   ...
///   co_await server.stop();
/// Threads:  the reactor's.
/// Lifetime: stop() before the destructor; the source outlives it.
/// Source:   ADR-0004.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "gateway/nbd/session.h"
#include "io/env.h"

namespace cairn::nbd {

struct ServerOptions {
  SessionLimits session;
  size_t connections_max = 128;      ///< more are closed at once
  Duration handshake_timeout = 60s;  ///< a person may sit at the other end
};

class Server {
 public:
  Server(io::Env env, ServerOptions options, ExportSource& source);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens, also on several addresses; returns the one bound. The errors are the network's.
  Result<io::Address> listen(io::Address address);
  /// Listens no more, refuses new requests with ESHUTDOWN, answers those under way, and closes all
  /// connections.
  io::Task<void> stop();

  size_t sessions_count() const { return sessions_.size(); }

 private:
  struct Entry {
    std::unique_ptr<Session> session;
    Instant handshake_until;
  };
  void accept(std::unique_ptr<io::Connection> connection);
  void forget(uint64_t session_id);
  void sweep();

  io::Env env_;
  const ServerOptions options_;
  ExportSource& source_;
  SessionMetrics metrics_;
  Gauge& connections_;
  bool is_stopping_ = false;
  uint64_t next_session_id_ = 1;
  io::Event forgotten_;
  io::Timer sweep_timer_;               ///< armed while a handshake is under way
  std::map<uint64_t, Entry> sessions_;  ///< in the order of their arrival
  std::vector<std::unique_ptr<io::Listener>> listeners_;
};

}  // namespace cairn::nbd
