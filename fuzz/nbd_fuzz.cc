/// NBD: whatever a client sends, the server ends or answers the connection, an export is never
/// asked for a range outside of it (MemoryExport checks), no memory stays lent, and another client
/// is served afterwards. The decoders are also called on the bare bytes.
///
/// Input: a byte of flags (1: the handshake is done, the bytes are requests; 2: with structured
/// replies and base:allocation), a byte that seeds the cuts, then what the client sends.
/// Links: cairn_nbd cairn_sim_io
#include "gateway/nbd/memory_export.h"
#include "gateway/nbd/server.h"
#include "sim/io/world.h"

namespace cairn::nbd {
namespace {

constexpr uint64_t kSize = 256 * kKiB + 100;

struct RawClient : io::ConnectionHandler {
  std::unique_ptr<io::Connection> connection;
  Bytes received;
  bool is_closed = false;
  size_t on_bytes(ByteView bytes) override {
    received.insert(received.end(), bytes.begin(), bytes.end());
    return bytes.size();
  }
  void on_closed(Error) override { is_closed = true; }
};

void decode_bare(ByteView bytes) {
  decode_export_query(bytes);
  const auto meta = decode_meta_query(bytes);
  if (meta) asks_for_base_allocation(*meta, true);
  if (bytes.size() >= kOptionHeaderBytes) decode_option_header(bytes.first(kOptionHeaderBytes));
  if (bytes.size() < kRequestBytes) return;
  const auto request = decode_request(bytes.first(kRequestBytes));
  if (!request) return;
  const Refusal refusal = examine(*request, {kSize, false, true, true});
  CHECK((refusal.fault == Fault::kNone) == refusal.text.empty());
}

Bytes handshake(bool has_structured_replies) {
  Bytes bytes;
  put(&bytes, uint32_t{kFixedNewstyle | kNoZeroes});
  const auto option = [&bytes](Option which, const Bytes& data) {
    put(&bytes, kOptionMagic);
    put(&bytes, which);
    put(&bytes, static_cast<uint32_t>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
  };
  if (has_structured_replies) {
    option(Option::kStructuredReply, {});
    Bytes meta;
    put(&meta, uint32_t{0});
    put(&meta, uint32_t{1});
    put(&meta, static_cast<uint32_t>(kBaseAllocation.size()));
    put_text(&meta, kBaseAllocation);
    option(Option::kSetMetaContext, meta);
  }
  option(Option::kExportName, {});
  return bytes;
}

class Harness {
 public:
  Harness()
      : server_host_(world_.add_host("server")),
        client_host_(world_.add_host("client")),
        disk_(std::make_shared<MemoryExport>(server_host_.env().executor,
                                             server_host_.env().buffers,
                                             ExportTraits{"disk", "d", kSize, false})) {
    source_.add(disk_);
    ServerOptions options;
    options.session.inflight_requests_max = 8;
    server_ = std::make_unique<Server>(server_host_.env(), options, source_);
    server_host_.execute([this] { CHECK(server_->listen(server_host_.address(10809)).ok()); });
  }
  ~Harness() {
    client_host_.crash(sim::CrashKind::kKill, [this] { clients_.clear(); });
    server_host_.crash(sim::CrashKind::kKill, [this] { server_.reset(); });
  }

  RawClient& connect() {
    auto connection = world_.run(
        client_host_, client_host_.env().network.connect(server_host_.address(10809), 1s));
    CHECK(connection.ok());
    RawClient& client = *clients_.emplace_back(std::make_unique<RawClient>());
    client.connection = std::move(*connection);
    client_host_.execute([&client] { client.connection->start(client); });
    return client;
  }
  void send(RawClient& client, ByteView bytes) {
    client_host_.execute([&] {
      if (!bytes.empty()) client.connection->send(Buffer::copy_of(bytes));
    });
    world_.run_for(2ms);
  }
  void disconnect(RawClient& client) {
    client_host_.execute([&client] { client.connection.reset(); });
    CHECK(world_.run_until([this] { return server_->sessions_count() == 0; }, 5s),
          "a session outlives its client");
    world_.run_for(10ms);
    CHECK(server_host_.env().buffers.lent_bytes() == 0, "a payload is kept");
  }
  void expect_service() {
    RawClient& client = connect();
    send(client, handshake(false));
    Bytes read;
    put(&read, kRequestMagic);
    put(&read, uint16_t{0});
    put(&read, Command::kRead);
    put(&read, uint64_t{5});
    put(&read, uint64_t{0});
    put(&read, uint32_t{512});
    client.received.clear();
    send(client, read);
    CHECK(client.received.size() == kSimpleReplyBytes + 512, "nobody is served any more");
    disconnect(client);
  }

 private:
  sim::World world_{1};
  sim::Host& server_host_;
  sim::Host& client_host_;
  std::shared_ptr<MemoryExport> disk_;
  MemorySource source_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<RawClient>> clients_;
};

void run(ByteView input) {
  if (input.size() < 2) return;
  const auto flags = std::to_integer<uint32_t>(input[0]);
  Rng cuts(std::to_integer<uint64_t>(input[1]));
  ByteView stream = input.subspan(2);
  decode_bare(stream);
  Harness harness;
  RawClient& client = harness.connect();
  if (flags & 1) {
    harness.send(client, handshake((flags & 2) != 0));
    CHECK(!client.is_closed);
  }
  while (!stream.empty() && !client.is_closed) {
    const size_t part = std::min<size_t>(1 + cuts.below(2000), stream.size());
    harness.send(client, stream.first(part));
    stream = stream.subspan(part);
  }
  harness.disconnect(client);
  harness.expect_service();
}

}  // namespace
}  // namespace cairn::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::nbd::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
