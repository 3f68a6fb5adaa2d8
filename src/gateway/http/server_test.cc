/// The server over the simulated network, driven by a client that writes raw bytes.
#include "gateway/http/server.h"

#include <gtest/gtest.h>

#include "sim/io/world.h"

namespace cairn::http {
namespace {

struct RawClient : io::ConnectionHandler {
  std::unique_ptr<io::Connection> connection;
  std::string received;
  bool is_closed = false;

  size_t on_bytes(ByteView bytes) override {
    received += as_text(bytes);
    return bytes.size();
  }
  void on_closed(Error) override { is_closed = true; }
};

class HttpTest : public ::testing::Test {
 protected:
  HttpTest() : server_host_(world_.add_host("server")), client_host_(world_.add_host("client")) {
    server_ = std::make_unique<Server>(server_host_.env(),
                                       ServerOptions{.connections_max = 4, .idle_timeout = 5s});
    server_->route("/hello",
                   [](const Request& request) { return text("hello " + request.query + "\n"); });
    server_->route("/broken", [](const Request&) { return json("{\"ok\":false}", 503); });
    server_->route("/large", [](const Request&) { return text(std::string(64 * kKiB, 'x')); });
    server_host_.execute([&] { ASSERT_TRUE(server_->listen(server_host_.address(80)).ok()); });
  }
  ~HttpTest() override {
    client_host_.crash(sim::CrashKind::kKill, [this] { clients_.clear(); });
    server_host_.crash(sim::CrashKind::kKill, [this] { server_.reset(); });
  }

  RawClient& connect() {
    auto connection =
        world_.run(client_host_, client_host_.env().network.connect(server_host_.address(80), 1s));
    CHECK(connection.ok());
    RawClient& client = *clients_.emplace_back(std::make_unique<RawClient>());
    client.connection = std::move(*connection);
    client_host_.execute([&] { client.connection->start(client); });
    return client;
  }
  void send(RawClient& client, const std::string& bytes) {
    client_host_.execute([&] { client.connection->send(Buffer::copy_of(bytes)); });
  }
  /// What comes within a second.
  std::string ask(RawClient& client, const std::string& bytes) {
    client.received.clear();
    send(client, bytes);
    world_.run_for(1s);
    return client.received;
  }
  static size_t count(const std::string& text, const std::string& of) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(of, at)) != std::string::npos; at += of.size()) ++found;
    return found;
  }

  sim::World world_{11};
  sim::Host& server_host_;
  sim::Host& client_host_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<RawClient>> clients_;
};

TEST_F(HttpTest, AnswersAndKeepsTheConnection) {
  RawClient& client = connect();
  for (int i = 0; i < 3; ++i) {
    const std::string answer = ask(client, "GET /hello?you HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\nhello you\n")) << answer;
    EXPECT_NE(answer.find("Content-Length: 10\r\n"), std::string::npos) << answer;
  }
  EXPECT_FALSE(client.is_closed);
}

TEST_F(HttpTest, TakesARequestByteByByteAndSeveralAtOnce) {
  RawClient& client = connect();
  const std::string request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
  for (char c : request) {
    send(client, std::string(1, c));
    world_.run_for(1ms);
  }
  world_.run_for(100ms);
  EXPECT_EQ(count(client.received, "200 OK"), 1u) << client.received;
  EXPECT_EQ(count(ask(client, request + request + request), "200 OK"), 3u);
}

TEST_F(HttpTest, SaysWhatThereIsWhenAPathIsUnknown) {
  const std::string answer = ask(connect(), "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 404 Not Found\r\n")) << answer;
  EXPECT_NE(answer.find("  /hello\n"), std::string::npos) << answer;
}

TEST_F(HttpTest, HeadHasTheLengthAndNoBody) {
  const std::string answer = ask(connect(), "HEAD /broken HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << answer;
  EXPECT_NE(answer.find("Content-Length: 12\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(HttpTest, RefusesOtherMethodsBodiesAndNoise) {
  EXPECT_TRUE(
      ask(connect(), "DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 405"));
  RawClient& poster = connect();
  const std::string posted =
      ask(poster, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
  EXPECT_TRUE(posted.starts_with("HTTP/1.1 413")) << posted;
  RawClient& noise = connect();
  EXPECT_TRUE(ask(noise, std::string("\x01\x02garbage\r\n\r\n")).starts_with("HTTP/1.1 400"));
  world_.run_for(3s);
  EXPECT_TRUE(noise.is_closed);
  EXPECT_TRUE(poster.is_closed);
}

TEST_F(HttpTest, RefusesAHeaderOverTheLimit) {
  RawClient& client = connect();
  const std::string answer =
      ask(client, "GET /hello HTTP/1.1\r\nX: " + std::string(64 * kKiB, 'a') + "\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 431")) << answer;
  world_.run_for(3s);
  EXPECT_TRUE(client.is_closed);
}

TEST_F(HttpTest, ClosesWhenAsked) {
  RawClient& client = connect();
  const std::string answer =
      ask(client, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  world_.run_for(3s);
  EXPECT_TRUE(client.is_closed);
}

TEST_F(HttpTest, ClosesWhoIsSilentAndWhoComesTooMany) {
  std::vector<RawClient*> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(&connect());
  world_.run_for(1s);
  EXPECT_EQ(server_->connections_count(), 4u);
  EXPECT_TRUE(clients[4]->is_closed && clients[5]->is_closed);
  world_.run_for(10s);
  EXPECT_EQ(server_->connections_count(), 0u);
}

TEST_F(HttpTest, APeerThatDoesNotReadIsGivenNoMore) {
  RawClient& client = connect();
  client_host_.execute([&] { client.connection->pause_reading(); });
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  send(client, requests);
  world_.run_for(1s);
  EXPECT_EQ(client.received.size(), 0u);
  client_host_.execute([&] { client.connection->resume_reading(); });
  world_.run_for(3s);
  EXPECT_EQ(count(client.received, "200 OK"), 100u);
}

}  // namespace
}  // namespace cairn::http
