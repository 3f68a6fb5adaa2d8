#include "gateway/http/session.h"

#define BOOST_ASIO_NO_DEPRECATED
#include <boost/beast/http.hpp>

namespace cairn::http {

namespace beast = boost::beast;

struct Session::Parser {
  beast::http::request_parser<beast::http::empty_body> request;
};

Session::Session(Server& server, uint64_t id, std::unique_ptr<io::Connection> connection)
    : server_(server),
      id_(id),
      connection_(std::move(connection)),
      active_at_(server.env_.clock.now()) {
  begin_request();
}

Session::~Session() = default;

void Session::start() {
  connection_->start(*this);
}

void Session::begin_request() {
  parser_ = std::make_unique<Parser>();
  parser_->request.header_limit(server_.options_.header_bytes_max);
  parser_->request.body_limit(0);
}

bool Session::is_over(Instant idle_since) const {
  return active_at_ <= idle_since || (is_last_ && connection_->unsent_bytes() == 0);
}

size_t Session::on_bytes(ByteView bytes) {
  size_t used_bytes = 0;
  while (used_bytes < bytes.size() && !is_last_) {
    // The rest is offered again once the peer has taken the answers so far.
    if (connection_->unsent_bytes() > io::Connection::kUnsentHighBytes) {
      connection_->pause_reading();
      return used_bytes;
    }
    boost::system::error_code failure;
    const ByteView rest = bytes.subspan(used_bytes);
    const size_t taken_bytes =
        parser_->request.put(boost::asio::const_buffer(rest.data(), rest.size()), failure);
    used_bytes += taken_bytes;
    if (failure == beast::http::error::need_more) {
      if (taken_bytes == 0) break;  // A line is not whole yet.
      continue;
    }
    if (failure) {
      const bool too_long = failure == beast::http::error::header_limit;
      refuse(too_long                                    ? 431
             : failure == beast::http::error::body_limit ? 413
                                                         : 400,
             failure.message());
    } else if (parser_->request.is_done()) {
      answer_request();
    }
  }
  return is_last_ ? bytes.size() : used_bytes;
}

void Session::answer_request() {
  active_at_ = server_.env_.clock.now();
  const auto& message = parser_->request.get();
  const bool is_head = message.method() == beast::http::verb::head;
  is_last_ = !message.keep_alive();
  if (message.method() != beast::http::verb::get && !is_head) {
    send(text("Only GET and HEAD are served here.\n", 405), true);
  } else {
    Request request;
    const std::string_view target(message.target().data(), message.target().size());
    request.path = target.substr(0, target.find('?'));
    if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
    send(server_.answer(request), !is_head);
  }
  begin_request();
}

void Session::refuse(int status, const std::string& why) {
  is_last_ = true;
  send(text("This request cannot be served: " + why + "\n", status), true);
}

void Session::send(const Response& response, bool with_body) {
  const auto status = static_cast<beast::http::status>(response.status);
  const auto reason = beast::http::obsolete_reason(status);
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(reason.data(), reason.size()) +
                     "\r\nContent-Type: " + response.content_type +
                     "\r\nContent-Length: " + std::to_string(response.body.size()) +
                     "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  if (response.status == 405) head += "Allow: GET, HEAD\r\n";
  head += is_last_ ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
  connection_->send(Buffer::copy_of(head));
  if (with_body && !response.body.empty()) connection_->send(Buffer::copy_of(response.body));
}

void Session::on_writable() {
  connection_->resume_reading();
}

void Session::on_closed(Error) {
  server_.forget(id_);  // destroys this
}

}  // namespace cairn::http
