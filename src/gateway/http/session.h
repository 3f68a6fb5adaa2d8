/// Session: one HTTP connection: requests are parsed by Beast and answered in order.
#pragma once

#include <memory>

#include "gateway/http/server.h"

namespace cairn::http {

class Session final : private io::ConnectionHandler {
 public:
  Session(Server& server, uint64_t id, std::unique_ptr<io::Connection> connection);
  ~Session() override;

  void start();
  /// It has sent its last answer, or nothing useful has happened since `idle_since`.
  bool is_over(Instant idle_since) const;

 private:
  struct Parser;

  size_t on_bytes(ByteView bytes) override;
  void on_closed(Error reason) override;
  void on_writable() override;

  void answer_request();
  void refuse(int status, const std::string& why);
  void send(const Response& response, bool with_body);
  void begin_request();

  Server& server_;
  const uint64_t id_;
  std::unique_ptr<io::Connection> connection_;
  std::unique_ptr<Parser> parser_;
  Instant active_at_;
  bool is_last_ = false;  ///< the connection closes after what is being sent
};

}  // namespace cairn::http
