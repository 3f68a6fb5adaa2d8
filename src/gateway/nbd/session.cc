#include "gateway/nbd/session.h"

namespace cairn::nbd {
namespace {

io::Task<Status> resolved(Status status) {
  co_return std::move(status);
}

}  // namespace

SessionMetrics::SessionMetrics(Registry& registry)
    : requests(registry.counter("cairn_nbd_requests_total", "Requests of NBD clients.")),
      failures(registry.counter("cairn_nbd_failures_total", "Requests answered with an error.")),
      read_bytes(registry.counter("cairn_nbd_read_bytes_total", "Bytes read by NBD clients.")),
      written_bytes(
          registry.counter("cairn_nbd_written_bytes_total", "Bytes written by NBD clients.")),
      broken_sessions(registry.counter("cairn_nbd_broken_sessions_total",
                                       "Connections closed for breaking the protocol.")) {}

Session::Session(io::Env env, ExportSource& source, SessionLimits limits, SessionMetrics& metrics,
                 std::unique_ptr<io::Connection> connection, std::function<void()> on_end)
    : env_(env),
      source_(source),
      limits_(limits),
      metrics_(metrics),
      connection_(std::move(connection)),
      on_end_(std::move(on_end)),
      peer_(connection_->peer().text),
      idle_(env.executor),
      handshake_input_(env.executor) {}

Session::~Session() = default;

void Session::start() {
  handshake_input_.on_room = [this] { resume_if_possible(); };
  negotiation_ =
      std::make_unique<Negotiation>(env_, source_, handshake_input_, [this](Bytes bytes) {
        Bytes& small = small_bytes();
        small.insert(small.end(), bytes.begin(), bytes.end());
      });
  connection_->start(*this);
  ++tasks_count_;
  env_.executor.spawn(run_handshake());
}

io::Task<void> Session::run_handshake() {
  auto negotiated = co_await negotiation_->run();
  if (phase_ == Phase::kHandshake) {
    if (negotiated.ok()) {
      begin_transmission(std::move(*negotiated));
    } else if (negotiated.code() == Errc::kClosed) {
      begin_end();
    } else {
      break_off(negotiated.error());
    }
  }
  task_ended();
}

void Session::begin_transmission(Negotiated negotiated) {
  phase_ = Phase::kTransmission;
  export_ = std::move(negotiated.exported);
  agreement_ = negotiated.agreement;
  env_.logger.info("export opened", {{"export", export_->traits().name}, {"peer", peer_}});
  // A client may send requests right behind its last option.
  Bytes early = handshake_input_.release();
  ByteView left = early;
  if (!left.empty()) left = left.subspan(consume_requests(left));
  if (phase_ != Phase::kTransmission) return;
  if (!left.empty()) {
    break_off(error(Errc::kProtocol, "requests came before the end of the handshake"));
    return;
  }
  resume_if_possible();
}

// ---- Requests come in.

size_t Session::on_bytes(ByteView bytes) {
  switch (phase_) {
    case Phase::kHandshake: {
      const size_t taken = std::min(bytes.size(), handshake_input_.room_bytes());
      handshake_input_.append(bytes.first(taken));
      pause_if_full();
      return taken;
    }
    case Phase::kTransmission:
      return consume_requests(bytes);
    case Phase::kEnding:
    case Phase::kEnded:
      return bytes.size();
  }
  check_failed("a session is in a phase", __FILE__, __LINE__);
}

size_t Session::consume_requests(ByteView bytes) {
  const size_t all = bytes.size();
  while (phase_ == Phase::kTransmission && !is_paused_) {
    if (is_receiving_payload_) {
      const size_t taken = consume_payload(bytes);
      bytes = bytes.subspan(taken);
      if (is_receiving_payload_) break;
      continue;
    }
    if (bytes.size() < kRequestBytes) break;
    const auto request = decode_request(bytes.first(kRequestBytes));
    if (!request) {
      break_off(error(Errc::kProtocol, "a request does not begin with the magic number"));
      return all;
    }
    bytes = bytes.subspan(kRequestBytes);
    begin_request(*request);
  }
  return phase_ == Phase::kTransmission ? all - bytes.size() : all;
}

size_t Session::consume_payload(ByteView bytes) {
  const size_t taken = std::min<size_t>(bytes.size(), receiving_.size_bytes - received_bytes_);
  if (!receiving_payload_.empty()) {
    std::memcpy(receiving_payload_.mutable_view().data() + received_bytes_, bytes.data(), taken);
  }
  received_bytes_ += static_cast<uint32_t>(taken);
  if (received_bytes_ < receiving_.size_bytes) return taken;
  is_receiving_payload_ = false;
  start_request(std::move(receiving_payload_));
  return taken;
}

void Session::begin_request(const Request& request) {
  metrics_.requests.add();
  if (request.command == Command::kDisconnect) {
    begin_end();
    return;
  }
  receiving_ = request;
  receiving_refusal_ = is_stopping_
                           ? Refusal{Fault::kShutdown, "the server is stopping; nothing was done"}
                           : examine(request, agreement_);
  const bool is_refused = receiving_refusal_.fault != Fault::kNone;
  if (request.command != Command::kWrite || request.size_bytes == 0) {
    start_request({});
    return;
  }
  if (is_refused && request.size_bytes > kPayloadBytesMax) {
    break_off(error(Errc::kProtocol, "a write announces " + std::to_string(request.size_bytes) +
                                         " bytes; at most 32 MiB were agreed on"));
    return;
  }
  is_receiving_payload_ = true;
  received_bytes_ = 0;
  // A refused payload is read and thrown away, so that the next request is found.
  receiving_payload_ = is_refused ? Buffer() : env_.buffers.allocate(request.size_bytes);
}

void Session::start_request(Buffer payload) {
  if (receiving_refusal_.fault != Fault::kNone) {
    send_failure(receiving_, receiving_refusal_.fault, receiving_refusal_.text);
    pause_if_full();
    return;
  }
  ++tasks_count_;
  ++inflight_requests_count_;
  inflight_bytes_ += cost_bytes(receiving_);
  pause_if_full();
  env_.executor.spawn(run_request(receiving_, std::move(payload)));
}

uint64_t Session::cost_bytes(const Request& request) const {
  const bool has_payload = request.command == Command::kRead || request.command == Command::kWrite;
  return has_payload ? request.size_bytes : 0;
}

bool Session::is_full() const {
  if (phase_ == Phase::kHandshake) return handshake_input_.room_bytes() == 0;
  return inflight_requests_count_ >= limits_.inflight_requests_max ||
         inflight_bytes_ >= limits_.inflight_bytes_max ||
         connection_->unsent_bytes() + small_bytes_.size() > limits_.unsent_bytes_max;
}

void Session::pause_if_full() {
  if (is_paused_ || !connection_ || !is_full()) return;
  is_paused_ = true;
  connection_->pause_reading();
}

void Session::resume_if_possible() {
  if (!is_paused_ || !connection_ || is_full()) return;
  is_paused_ = false;
  connection_->resume_reading();
}

void Session::on_writable() {
  resume_if_possible();
}

// ---- Requests are carried out.

io::Task<void> Session::run_request(Request request, Buffer payload) {
  switch (request.command) {
    case Command::kRead:
      co_await run_read(request);
      break;
    case Command::kBlockStatus:
      co_await run_block_status(request);
      break;
    default:
      send_status(request, co_await change(request, std::move(payload)));
      break;
  }
  --inflight_requests_count_;
  inflight_bytes_ -= cost_bytes(request);
  resume_if_possible();
  task_ended();
}

io::Task<Status> Session::change(Request request, Buffer payload) {
  const uint64_t offset = request.offset_bytes;
  const uint32_t size = request.size_bytes;
  switch (request.command) {
    case Command::kWrite:
      metrics_.written_bytes.add(size);
      return export_->write(offset, std::move(payload));
    case Command::kFlush:
      return export_->flush();
    case Command::kTrim:
      return export_->trim(offset, size);
    case Command::kWriteZeroes:
      if (request.has(kFastZero) && !export_->is_zero_fast(offset, size)) {
        return resolved(error(Errc::kUnsupported, "zeroing this range would be slow"));
      }
      return export_->zero(offset, size, !request.has(kNoHole));
    default:
      // CACHE: the range is valid, and nothing is kept here that could be warmed.
      return resolved(ok());
  }
}

io::Task<void> Session::run_read(Request request) {
  auto pieces = co_await export_->read(request.offset_bytes, request.size_bytes);
  if (!pieces.ok()) {
    send_status(request, pieces.error());
    co_return;
  }
  metrics_.read_bytes.add(request.size_bytes);
  send_read_reply(request, std::move(*pieces));
}

io::Task<void> Session::run_block_status(Request request) {
  auto extents = co_await export_->extents(request.offset_bytes, request.size_bytes);
  if (!extents.ok()) {
    send_status(request, extents.error());
    co_return;
  }
  std::vector<AllocationExtent> states;
  for (const client::Extent& extent : *extents) {
    const uint32_t state = extent.is_allocated ? 0 : kStateHole | kStateZero;
    states.push_back({static_cast<uint32_t>(extent.size_bytes), state});
    if (request.has(kReqOne)) break;
  }
  put_block_status(&small_bytes(), request.cookie, states);
}

// ---- Replies go out.

void Session::send_read_reply(const Request& request, std::vector<client::ReadPiece> pieces) {
  if (agreement_.has_structured_replies) {
    send_pieces(request, pieces);
    return;
  }
  put_simple_reply(&small_bytes(), request.cookie, Fault::kNone);
  for (client::ReadPiece& piece : pieces) {
    if (piece.data.empty()) {
      send_zeros(piece.size_bytes);
    } else {
      send_payload(std::move(piece.data));
    }
  }
}

void Session::send_pieces(const Request& request, const std::vector<client::ReadPiece>& pieces) {
  uint64_t offset = request.offset_bytes;
  for (size_t first = 0; first < pieces.size();) {
    // A run of pieces of one kind is one chunk; with DF, all of them are.
    const bool is_hole = pieces[first].data.empty();
    size_t last = first;
    uint64_t run_bytes = 0;
    bool has_data = false;
    while (last < pieces.size() && (request.has(kDf) || pieces[last].data.empty() == is_hole)) {
      run_bytes += pieces[last].size_bytes;
      has_data = has_data || !pieces[last].data.empty();
      ++last;
    }
    const uint16_t flags = last == pieces.size() ? kChunkDone : 0;
    const auto size = static_cast<uint32_t>(run_bytes);
    if (!has_data) {
      put_hole_chunk(&small_bytes(), request.cookie, flags, offset, size);
    } else {
      put_data_chunk(&small_bytes(), request.cookie, flags, offset, size);
      for (size_t i = first; i < last; ++i) {
        if (pieces[i].data.empty()) {
          send_zeros(pieces[i].size_bytes);
        } else {
          send_payload(pieces[i].data);
        }
      }
    }
    offset += run_bytes;
    first = last;
  }
  CHECK(offset == request.offset_bytes + request.size_bytes, "the pieces make up the range");
}

void Session::send_status(const Request& request, const Status& status) {
  if (status.ok()) {
    put_simple_reply(&small_bytes(), request.cookie, Fault::kNone);
    return;
  }
  env_.logger.warn("an NBD request failed", {{"command", static_cast<uint32_t>(request.command)},
                                             {"offset", request.offset_bytes},
                                             {"bytes", request.size_bytes},
                                             {"peer", peer_},
                                             {"error", status.error().describe()}});
  send_failure(request, fault_of(status.code()), status.error().message());
  // The export belongs to another client now and never works again on this connection: a client
  // that reconnects is told so, or opens it anew.
  if (status.code() == Errc::kStaleFence && phase_ == Phase::kTransmission) {
    break_off(status.error());
  }
}

void Session::send_failure(const Request& request, Fault fault, std::string_view text) {
  metrics_.failures.add();
  if (agreement_.has_structured_replies) {
    put_error_chunk(&small_bytes(), request.cookie, fault, text);
  } else {
    put_simple_reply(&small_bytes(), request.cookie, fault);
  }
}

Bytes& Session::small_bytes() {
  env_.executor.at_turn_end(*this);
  return small_bytes_;
}

void Session::flush_small_bytes() {
  if (small_bytes_.empty()) return;
  if (connection_) connection_->send(Buffer::copy_of(ByteView(small_bytes_)));
  small_bytes_.clear();
}

void Session::send_payload(Buffer payload) {
  flush_small_bytes();
  if (connection_) connection_->send(std::move(payload));
}

void Session::send_zeros(uint64_t size_bytes) {
  constexpr uint64_t kZerosBytes = 256 * kKiB;
  if (zeros_.empty()) zeros_ = env_.buffers.allocate_zeroed(kZerosBytes);
  for (uint64_t left = size_bytes; left > 0;) {
    const uint64_t part = std::min(left, kZerosBytes);
    send_payload(zeros_.slice(0, part));
    left -= part;
  }
}

void Session::on_turn_end() {
  flush_small_bytes();
}

// ---- The end.

void Session::on_closed(Error reason) {
  if (phase_ == Phase::kTransmission) {
    env_.logger.info("an NBD client left without saying so",
                     {{"peer", peer_}, {"reason", reason.describe()}});
  }
  drop_connection();
}

void Session::break_off(const Error& reason) {
  metrics_.broken_sessions.add();
  env_.logger.warn("an NBD connection is closed", {{"peer", peer_}, {"reason", reason.describe()}});
  begin_end();
}

void Session::stop() {
  is_stopping_ = true;
  if (phase_ == Phase::kHandshake || inflight_requests_count_ == 0) begin_end();
}

void Session::give_up_handshake() {
  if (phase_ != Phase::kHandshake) return;
  break_off(error(Errc::kTimeout, "the handshake took too long"));
}

void Session::begin_end() {
  if (phase_ == Phase::kEnding || phase_ == Phase::kEnded) return;
  phase_ = Phase::kEnding;
  handshake_input_.close();
  if (is_draining_) return;
  is_draining_ = true;
  ++tasks_count_;
  env_.executor.spawn(drain());
}

io::Task<void> Session::drain() {
  // Requests under way end first; each ends by its own deadline.
  while (connection_ && inflight_requests_count_ > 0) co_await idle_.wait_next();
  const Instant until = env_.clock.now() + limits_.drain_timeout;
  // Leave the turn in which the last reply was made; then the queue is looked at, for there is no
  // event for its end.
  do {
    co_await env_.clock.sleep(1ms);
  } while (connection_ && connection_->unsent_bytes() > 0 && env_.clock.now() < until);
  drop_connection();
  task_ended();
}

void Session::drop_connection() {
  phase_ = Phase::kEnded;
  connection_.reset();
  handshake_input_.close();
  idle_.notify_all();
  report_end();
}

void Session::task_ended() {
  CHECK(tasks_count_ > 0);
  --tasks_count_;
  if (inflight_requests_count_ == 0) {
    idle_.notify_all();
    if (is_stopping_) begin_end();
  }
  report_end();
}

void Session::report_end() {
  if (connection_ || tasks_count_ > 0 || !on_end_) return;
  // The caller's frame, or the network's call, is still on this object: end it later in the turn.
  env_.executor.post(std::exchange(on_end_, {}));
}

}  // namespace cairn::nbd
