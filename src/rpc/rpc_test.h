/// What the tests of server and client share: a service, a peer that speaks bytes, a log.
#pragma once

#include <gtest/gtest.h>

#include "rpc/client.h"
#include "rpc/handshake.h"
#include "rpc/server.h"
#include "wire/chunk.pb.h"
#include "wire/mds.pb.h"
#include "wire/raft.pb.h"

namespace cairn::rpc::testing {

using wire::Method;

inline const ClusterKey kKey{"a key for tests, 32 characters.."};

class LogLines : public LogSink {
 public:
  std::vector<std::string> lines;
  void write(LogLevel, std::string_view component, std::string_view message,
             std::initializer_list<LogField> fields) override {
    std::string line = std::string(component) + ": " + std::string(message);
    for (const LogField& field : fields) {
      line += " " + std::string(field.key) + "=" + field.value;
    }
    lines.push_back(std::move(line));
  }
  bool contains(std::string_view text) const {
    return std::ranges::any_of(
        lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }
};

inline Buffer pattern(size_t size_bytes, uint8_t seed = 1) {
  Buffer buffer = Buffer::allocate(size_bytes);
  auto view = buffer.mutable_view();
  for (size_t i = 0; i < size_bytes; ++i)
    view[i] = static_cast<std::byte>(seed + i * 31 + (i >> 8));
  return buffer;
}

class TestService {
 public:
  explicit TestService(io::Env env) : env_(env), release(env.executor) {}

  void add_to(Server& server) {
    server.add(Method::kPing, *this, &TestService::ping);
    server.add(Method::kWriteChunk, *this, &TestService::echo);
    server.add(Method::kReadChunk, *this, &TestService::hold);
    server.add(Method::kStatVolume, *this, &TestService::fail);
    server.add_one_way(Method::kRaftBatch, *this, &TestService::take);
  }

  io::Task<Result<Answer<wire::PingReply>>> ping(Call<wire::PingRequest>) {
    Answer<wire::PingReply> answer;
    answer.message.set_id(++pings_count);
    co_return answer;
  }
  /// Returns the attachment.
  io::Task<Result<Answer<wire::WriteChunkReply>>> echo(Call<wire::WriteChunkRequest> call) {
    Answer<wire::WriteChunkReply> answer;
    answer.message.set_index(call.request.size_bytes());
    last_budget = call.deadline - env_.clock.now();
    is_last_aligned = reinterpret_cast<uintptr_t>(call.attachment.data()) % kBlockBytes == 0;
    if (!call.attachment.empty()) answer.attachment.push_back(std::move(call.attachment));
    co_return answer;
  }
  /// Answers with `size_bytes` bytes once `release` is set.
  io::Task<Result<Answer<wire::ReadChunkReply>>> hold(Call<wire::ReadChunkRequest> call) {
    ++held_count;
    co_await release.wait();
    --held_count;
    Answer<wire::ReadChunkReply> answer;
    if (call.request.size_bytes() > 0) {
      answer.attachment.push_back(pattern(call.request.size_bytes()));
    }
    co_return answer;
  }
  io::Task<Result<Answer<wire::StatVolumeReply>>> fail(Call<wire::StatVolumeRequest> call) {
    co_return error(Errc::kNotFound, "no volume " + call.request.name());
  }
  void take(Call<wire::RaftBatch> call) {
    taken_from.push_back(call.request.from_node());
    taken_bytes += call.attachment.size_bytes();
  }

 private:
  io::Env env_;

 public:
  io::Event release;
  uint64_t pings_count = 0;
  int held_count = 0;
  Duration last_budget{};
  bool is_last_aligned = false;
  std::vector<uint64_t> taken_from;
  uint64_t taken_bytes = 0;
};

inline io::Task<Result<Answer<wire::PingReply>>> ping(Client& client, io::Address to,
                                                      Duration timeout = 1s) {
  return client.call<wire::PingReply>(std::move(to), Method::kPing, wire::PingRequest(), {},
                                      timeout);
}
inline io::Task<Result<Answer<wire::WriteChunkReply>>> echo(Client& client, io::Address to,
                                                            std::vector<Buffer> attachment,
                                                            Duration timeout = 1s) {
  wire::WriteChunkRequest request;
  request.set_size_bytes(42);
  return client.call<wire::WriteChunkReply>(std::move(to), Method::kWriteChunk, request,
                                            std::move(attachment), timeout);
}
inline io::Task<Result<Answer<wire::ReadChunkReply>>> held(Client& client, io::Address to,
                                                           Duration timeout = 10s,
                                                           uint32_t size_bytes = 0) {
  wire::ReadChunkRequest request;
  request.set_size_bytes(size_bytes);
  return client.call<wire::ReadChunkReply>(std::move(to), Method::kReadChunk, request, {}, timeout);
}

/// A result that a spawned call leaves behind.
template <class T>
using Outcome = std::optional<Result<T>>;
template <class T>
io::Task<void> keep(io::Task<Result<T>> task, Outcome<T>* into) {
  into->emplace(co_await std::move(task));
}
template <class T>
Errc code_of(const Outcome<T>& outcome) {
  return outcome ? outcome->code() : Errc::kInternal;
}

/// Speaks bytes instead of calls; shakes hands if told to.
class RawPeer : public io::ConnectionHandler {
 public:
  explicit RawPeer(io::Env env) : env_(env), reader_(env.buffers, {}) {}

  static io::Task<void> connect(RawPeer* self, io::Address to) {
    auto connected = co_await self->env_.network.connect(to, 1s);
    CHECK(connected.ok());
    self->take(std::move(connected).value());
  }
  void take(std::unique_ptr<io::Connection> taken) {
    connection = std::move(taken);
    connection->start(*this);
  }
  void send_bytes(ByteView bytes) { connection->send(Buffer::copy_of(bytes)); }
  void send_frame(OutgoingFrame frame, uint64_t call_id = 0, uint32_t budget_ms = 0) {
    seal(frame, call_id, budget_ms);
    send(*connection, std::move(frame));
  }

  std::unique_ptr<io::Connection> connection;
  bool answers_challenge = false;
  bool is_welcome = false;
  std::optional<Error> closed;
  std::vector<FramePrefix> answers;  ///< responses and errors of calls
  std::optional<Error> refusal;      ///< of the connection
  std::optional<Error> last_error;   ///< of a call

 private:
  size_t on_bytes(ByteView bytes) override {
    const size_t arrived_bytes = bytes.size();
    while (reader_.next(bytes) == FrameReader::Step::kFrame) take_frame(reader_.frame());
    return arrived_bytes;
  }
  void take_frame(const Frame& frame) {
    const FrameKind kind = frame.prefix.kind;
    if (kind == FrameKind::kChallenge && answers_challenge) {
      ProofBody body{};
      body.client_proof = prove(kKey, Role::kClient, load<ChallengeBody>(frame.header).server_nonce,
                                body.client_nonce);
      send_frame(make_frame(FrameKind::kProof, bytes_of(body)));
    }
    if (kind == FrameKind::kWelcome) is_welcome = true;
    if (kind == FrameKind::kError) {
      (frame.prefix.call_id ? last_error : refusal) = decode_error(frame.header);
    }
    if (frame.prefix.call_id) answers.push_back(frame.prefix);
  }
  void on_closed(Error reason) override { closed = reason; }

  io::Env env_;
  FrameReader reader_;
};

}  // namespace cairn::rpc::testing
