/// Server: HTTP/1.1 for people, Prometheus and health checks: small answers made at once.
///
///   http::Server server(env);
///   server.route("/metrics", [&](const http::Request&) { return http::text(metrics.render()); });
///   auto address = server.listen({"127.0.0.1:6780"});
/// GET and HEAD alone; a body in a request is refused. No authentication: listen where only those
/// who may see it can connect.
/// Threads:  the reactor's. A handler runs on it and must not block or call stop().
/// Lifetime: stop(), or the destructor, closes all connections at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"

namespace cairn::http {

struct Request {
  std::string path;   ///< as sent, up to the question mark
  std::string query;  ///< behind the question mark, not decoded
};

struct Response {
  int status = 200;
  std::string content_type;
  std::string body;
};
Response text(std::string body, int status = 200);
Response json(std::string body, int status = 200);

using Handler = std::function<Response(const Request&)>;

struct ServerOptions {
  size_t connections_max = 64;  ///< more are closed at once
  uint32_t header_bytes_max = 8 * kKiB;
  Duration idle_timeout = 30s;  ///< without a whole request, or with an answer that nobody takes
};

class Session;

class Server {
 public:
  explicit Server(io::Env env, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Exactly this path. Before listen().
  void route(std::string path, Handler handler);
  /// Returns the address bound. The errors are the network's.
  Result<io::Address> listen(io::Address address);
  void stop();

  size_t connections_count() const { return sessions_.size(); }

 private:
  friend class Session;
  void accept(std::unique_ptr<io::Connection> connection);
  void forget(uint64_t session_id);
  /// Never fails: an unknown path is answered with those there are.
  Response answer(const Request& request);
  void sweep();

  io::Env env_;
  const ServerOptions options_;
  std::map<std::string, Handler> routes_;
  Counter& requests_;
  uint64_t next_session_id_ = 1;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;
  std::unique_ptr<io::Listener> listener_;
  io::Timer sweep_timer_;  ///< armed while there are sessions
};

}  // namespace cairn::http
