#include "rpc/session.h"

namespace cairn::rpc {

namespace {
/// Answers with attachments are refused, instead of queued, above this many times the bound at
/// which reading pauses: what was under way when reading stopped must not pile up without end.
constexpr size_t kUnsentRefuseFactor = 4;
}  // namespace

Session::Session(Server& server, uint64_t id, std::unique_ptr<io::Connection> connection)
    : server_(server),
      id_(id),
      peer_(connection->peer()),
      connection_(std::move(connection)),
      reader_(server.env_.buffers, kLimitsBeforeWelcome, &server.budget_) {
  ++server_.unproven_count_;
  server_.metrics_.connections.add(1);
}

Session::~Session() {
  CHECK(calls_count_ == 0, "a session outlives its calls");
  leave_handshake();
  if (state_ != State::kClosed) server_.metrics_.connections.add(-1);
}

void Session::start() {
  close_by_ = server_.env_.clock.now() + server_.options_.handshake_timeout;
  connection_->start(*this);
  server_.env_.entropy.fill(server_nonce_);
  send_now(make_frame(FrameKind::kChallenge, bytes_of(ChallengeBody{server_nonce_})), 0);
  server_.arm_sweep();
}

size_t Session::on_bytes(ByteView bytes) {
  const size_t arrived_bytes = bytes.size();
  server_.metrics_.received_bytes.add(arrived_bytes);
  if (state_ != State::kAwaitingProof && state_ != State::kReady) return arrived_bytes;
  const Instant now = server_.env_.clock.now();
  if (reader_.between_frames()) frame_began_at_ = now;
  while (true) {
    const auto step = reader_.next(bytes);
    if (step == FrameReader::Step::kNeedMore) break;
    if (step == FrameReader::Step::kBroken) {
      refuse(reader_.error());
      break;
    }
    take_frame(reader_.frame(), frame_began_at_);
    if (state_ != State::kAwaitingProof && state_ != State::kReady) break;
    frame_began_at_ = now;
  }
  return arrived_bytes;
}

void Session::take_frame(Frame& frame, Instant received_at) {
  if (state_ == State::kAwaitingProof) {
    if (frame.prefix.kind == FrameKind::kProof) return take_proof(frame);
    return refuse(error(Errc::kProtocol, "a " + std::string(to_string(frame.prefix.kind)) +
                                             " frame before the handshake has ended"));
  }
  switch (frame.prefix.kind) {
    case FrameKind::kRequest:
      return take_request(frame, received_at);
    case FrameKind::kOneWay:
      return take_one_way(frame, received_at);
    case FrameKind::kPing:
      return send_now(make_frame(FrameKind::kPong, {}), frame.prefix.call_id);
    default:
      return refuse(error(Errc::kProtocol, "a " + std::string(to_string(frame.prefix.kind)) +
                                               " frame is not for a server"));
  }
}

void Session::take_proof(const Frame& frame) {
  if (frame.header.size() != sizeof(ProofBody)) {
    return refuse(error(Errc::kProtocol, "a proof of " + std::to_string(frame.header.size()) +
                                             " bytes instead of " +
                                             std::to_string(sizeof(ProofBody))));
  }
  const auto body = load<ProofBody>(frame.header);
  const Proof expected = prove(server_.key_, Role::kClient, server_nonce_, body.client_nonce);
  if (!same_proof(body.client_proof, expected)) {
    server_.metrics_.unauthenticated.add();
    return refuse(error(Errc::kUnauthenticated, std::string(kKeyDiffersText)));
  }
  const WelcomeBody welcome{prove(server_.key_, Role::kServer, server_nonce_, body.client_nonce)};
  send_now(make_frame(FrameKind::kWelcome, bytes_of(welcome)), 0);
  leave_handshake();
  state_ = State::kReady;
  reader_.set_limits(server_.options_.limits);
}

void Session::take_request(Frame& frame, Instant received_at) {
  const FramePrefix& prefix = frame.prefix;
  server_.metrics_.calls.add();
  if (prefix.call_id == 0) return refuse(error(Errc::kProtocol, "a request without a call id"));
  if (frame.attachment_refused ||
      server_.gate_.holders_count() >= server_.options_.inflight_calls_max) {
    server_.metrics_.overloaded.add();
    return fail_call(
        prefix, error(Errc::kOverloaded, frame.attachment_refused
                                             ? "the server holds too many bytes; nothing was done"
                                             : "the server has too many calls; nothing was done"));
  }
  auto running = server_.gate_.enter();
  if (!running) {
    return fail_call(prefix, error(Errc::kClosed, "the server is stopping; nothing was done"));
  }
  Handler* const handler = server_.find_handler(prefix.method);
  if (!handler) return fail_call(prefix, server_.absent_error(prefix.method));
  Instant deadline = Instant::max();
  if (prefix.budget_ms > 0) {
    deadline = received_at + std::chrono::milliseconds(prefix.budget_ms);
    if (server_.env_.clock.now() >= deadline) {
      server_.metrics_.expired.add();
      return fail_call(prefix, error(Errc::kTimeout,
                                     "the deadline passed before the server took the call up; "
                                     "nothing was done"));
    }
  }
  handler->start(server_.env_.executor,
                 Incoming{frame.header, std::move(frame.attachment), deadline, peer_},
                 Responder(*this, prefix, std::move(running).value(), std::move(frame.hold)));
}

void Session::take_one_way(Frame& frame, Instant) {
  server_.metrics_.calls.add();
  if (frame.attachment_refused) return server_.metrics_.overloaded.add();
  if (server_.gate_.is_closed()) return;
  const auto handler = server_.one_way_handlers_.find(frame.prefix.method);
  const bool taken = handler != server_.one_way_handlers_.end() &&
                     handler->second->take(Incoming{frame.header, std::move(frame.attachment),
                                                    Instant::max(), peer_});
  if (taken) return;
  // Nobody waits for an answer: the count and the log have to tell.
  server_.metrics_.errors.add();
  server_.env_.logger.warn(
      "a one-way message was dropped: unknown or cannot be read",
      {{"peer", peer_.text}, {"method", static_cast<uint16_t>(frame.prefix.method)}});
}

void Session::fail_call(const FramePrefix& request, const Error& why) {
  server_.metrics_.errors.add();
  send_now(encode_error(request.method, why), request.call_id);
}

void Session::send_answer(OutgoingFrame frame, uint64_t call_id) {
  if (state_ != State::kReady) return;  // the caller has gone, or is about to be told to
  const size_t refuse_above = server_.options_.unsent_bytes_max * kUnsentRefuseFactor;
  if (!frame.attachment.empty() &&
      connection_->unsent_bytes() + frame.size_bytes() > refuse_above) {
    server_.metrics_.overloaded.add();
    frame = encode_error(frame.prefix.method,
                         error(Errc::kOverloaded, "the caller does not read its answers"));
  }
  send_now(std::move(frame), call_id);
}

void Session::send_now(OutgoingFrame frame, uint64_t call_id) {
  CHECK(connection_);
  server_.metrics_.sent_bytes.add(frame.size_bytes());
  seal(frame, call_id, 0);
  send(*connection_, std::move(frame));
  if (!paused_ && connection_->unsent_bytes() > server_.options_.unsent_bytes_max) {
    paused_ = true;
    connection_->pause_reading();
    server_.arm_sweep();
  }
}

void Session::refuse(const Error& reason) {
  CHECK(connection_ && state_ != State::kClosing);
  server_.metrics_.broken_connections.add();
  server_.env_.logger.warn("connection refused",
                           {{"peer", peer_.text}, {"why", reason.describe()}});
  send_now(encode_error(wire::Method::kNone, reason), 0);
  leave_handshake();
  state_ = State::kClosing;
  close_by_ = server_.env_.clock.now() + server_.options_.handshake_timeout;
  server_.arm_sweep();
}

void Session::on_closed(Error reason) {
  server_.env_.logger.debug("connection closed",
                            {{"peer", peer_.text}, {"why", reason.describe()}});
  close_connection();
}

void Session::on_writable() {
  if (!paused_ || connection_->unsent_bytes() > server_.options_.unsent_bytes_max / 2) return;
  paused_ = false;
  connection_->resume_reading();
}

bool Session::needs_sweep() const {
  return state_ == State::kAwaitingProof || state_ == State::kClosing || paused_;
}

void Session::sweep(Instant now) {
  switch (state_) {
    case State::kAwaitingProof:
      if (now >= close_by_) refuse(error(Errc::kTimeout, "the handshake took too long"));
      return;
    case State::kClosing:
      if (connection_->unsent_bytes() == 0 || now >= close_by_) close_connection();
      return;
    case State::kReady:
      // The connection's own water marks may lie elsewhere than our bound.
      return on_writable();
    case State::kClosed:
      return;
  }
}

void Session::leave_handshake() {
  if (!unproven_) return;
  unproven_ = false;
  CHECK(server_.unproven_count_ > 0);
  --server_.unproven_count_;
}

void Session::close_connection() {
  if (state_ == State::kClosed) return;
  leave_handshake();
  state_ = State::kClosed;
  paused_ = false;
  connection_.reset();
  server_.metrics_.connections.add(-1);
  if (calls_count_ == 0) server_.forget(id_);  // destroys this
}

void Session::call_ended() {
  CHECK(calls_count_ > 0);
  if (--calls_count_ == 0 && state_ == State::kClosed) server_.forget(id_);  // destroys this
}

}  // namespace cairn::rpc
