#include "rpc/channel.h"

#include <algorithm>

namespace cairn::rpc {

namespace {

constexpr unsigned kSlotBits = 32;

uint64_t call_id_of(uint32_t slot, uint32_t generation) {
  return (static_cast<uint64_t>(generation) << kSlotBits) | slot;
}

}  // namespace

Channel::Channel(Client& client, io::Address address)
    : client_(client), address_(std::move(address)) {}

Channel::~Channel() {
  if (attempt_) *attempt_ = nullptr;
  CHECK(pending_count_ == 0, "a channel outlives its calls");
}

// --- Calls ---

bool Channel::begin(PendingCall& call) {
  const Instant now = client_.env_.clock.now();
  if (state_ == State::kClosed) {
    return refuse(call, error(Errc::kClosed, "the client is stopping; nothing was sent"));
  }
  if (now >= call.deadline_) {
    client_.metrics_.timeouts.add();
    return refuse(
        call, error(Errc::kTimeout, "the deadline passed before the call began; nothing was sent"));
  }
  const size_t queued_bytes =
      state_ == State::kReady ? connection_->unsent_bytes() : waiting_bytes_;
  if (pending_count_ >= client_.options_.pending_calls_max ||
      queued_bytes > client_.options_.unsent_bytes_max) {
    client_.metrics_.overloaded.add();
    return refuse(call, error(Errc::kOverloaded,
                              "too much is on its way to " + address_.text + "; nothing was sent"));
  }
  enter_table(call);
  if (state_ == State::kReady) {
    send_call(call, now);
  } else {
    waiting_bytes_ += call.frame_.size_bytes();
    if (state_ == State::kIdle && now >= next_attempt_at_) begin_attempt();
  }
  client_.arm_sweep();
  return true;
}

bool Channel::refuse(PendingCall& call, Error failure) {
  client_.metrics_.errors.add();
  call.failure_ = std::move(failure);
  return false;
}

void Channel::enter_table(PendingCall& call) {
  CHECK(!call.in_table_ && !call.sent_);
  if (free_slots_.empty()) {
    CHECK(slots_.size() < client_.options_.pending_calls_max);
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  call.slot_ = free_slots_.back();
  free_slots_.pop_back();
  CHECK(!slots_[call.slot_].call);
  slots_[call.slot_].call = &call;
  call.in_table_ = true;
  call.previous_ = last_;
  call.next_ = nullptr;
  (last_ ? last_->next_ : first_) = &call;
  last_ = &call;
  ++pending_count_;
  client_.metrics_.inflight_calls.add(1);
}

void Channel::leave(PendingCall& call) {
  if (!call.in_table_) return;
  Slot& slot = slots_[call.slot_];
  CHECK(slot.call == &call);
  slot.call = nullptr;
  if (++slot.generation == 0) slot.generation = 1;  // so that no call id is 0
  free_slots_.push_back(call.slot_);
  (call.previous_ ? call.previous_->next_ : first_) = call.next_;
  (call.next_ ? call.next_->previous_ : last_) = call.previous_;
  call.next_ = call.previous_ = nullptr;
  call.in_table_ = false;
  if (!call.sent_) waiting_bytes_ -= call.frame_.size_bytes();
  CHECK(pending_count_ > 0);
  --pending_count_;
  client_.metrics_.inflight_calls.add(-1);
}

PendingCall* Channel::find(uint64_t call_id) {
  const auto slot = static_cast<uint32_t>(call_id);
  const auto generation = static_cast<uint32_t>(call_id >> kSlotBits);
  if (slot >= slots_.size() || slots_[slot].generation != generation) return nullptr;
  return slots_[slot].call;
}

void Channel::send_call(PendingCall& call, Instant now) {
  CHECK(!call.sent_);
  call.sent_ = true;
  send_now(std::move(call.frame_), call_id_of(call.slot_, slots_[call.slot_].generation),
           budget_ms_until(call.deadline_, now));
}

void Channel::send_now(OutgoingFrame frame, uint64_t call_id, uint32_t budget_ms) {
  CHECK(connection_);
  client_.metrics_.sent_bytes.add(frame.size_bytes());
  seal(frame, call_id, budget_ms);
  send(*connection_, std::move(frame));
}

void Channel::complete(PendingCall& call) {
  leave(call);
  client_.env_.executor.post(call.waiter_);
}

void Channel::complete(PendingCall& call, Error failure) {
  client_.metrics_.errors.add();
  call.failure_ = std::move(failure);
  complete(call);
}

void Channel::fail_pending(const Error& if_unsent, const Error& if_sent) {
  while (first_) complete(*first_, first_->sent_ ? if_sent : if_unsent);
  CHECK(pending_count_ == 0 && waiting_bytes_ == 0);
}

Status Channel::send_one_way(OutgoingFrame frame) {
  const Instant now = client_.env_.clock.now();
  if (state_ == State::kClosed) {
    return error(Errc::kClosed, "the client is stopping; nothing was sent");
  }
  if (state_ != State::kReady) {
    if (state_ == State::kIdle && now >= next_attempt_at_) begin_attempt();
    return error(Errc::kUnavailable, "not connected to " + address_.text + "; nothing was sent");
  }
  if (connection_->unsent_bytes() > client_.options_.unsent_bytes_max) {
    client_.metrics_.overloaded.add();
    // Only the probe can tell a slow peer from a dead one.
    probe_if_silent(now);
    return error(Errc::kOverloaded,
                 "too much is on its way to " + address_.text + "; nothing was sent");
  }
  send_now(std::move(frame), 0, 0);
  probe_if_silent(now);
  return ok();
}

void Channel::probe_if_silent(Instant now) {
  if (now - last_received_at_ >= client_.options_.probe_after) probe(now);
}

void Channel::probe(Instant now) {
  if (probe_by_) return;
  send_now(make_frame(FrameKind::kPing, {}), 0, 0);
  probe_by_ = now + client_.options_.probe_timeout;
  client_.arm_sweep();
}

// --- The connection ---

void Channel::begin_attempt() {
  CHECK(state_ == State::kIdle && !connection_);
  state_ = State::kConnecting;
  client_.metrics_.connects.add();
  attempt_ = std::make_shared<Channel*>(this);
  client_.env_.executor.spawn(
      connect(attempt_, client_.env_.network, address_, client_.options_.connect_timeout));
}

// Outlives the channel when that is closed meanwhile: a peer that does not answer holds up nobody's
// stop.
io::Task<void> Channel::connect(std::shared_ptr<Channel*> attempt, io::Network& network,
                                io::Address address, Duration timeout) {
  auto connected = co_await network.connect(address, timeout);
  if (*attempt) (*attempt)->connected(std::move(connected));
}

void Channel::connected(Result<std::unique_ptr<io::Connection>> result) {
  CHECK(state_ == State::kConnecting);
  attempt_.reset();
  if (!result) {
    attempt_failed(result.error());
    return;
  }
  connection_ = std::move(result).value();
  reader_.emplace(client_.env_.buffers, kLimitsBeforeWelcome);
  state_ = State::kHandshaking;
  handshake_by_ = client_.env_.clock.now() + client_.options_.handshake_timeout;
  connection_->start(*this);
  client_.arm_sweep();
}

void Channel::attempt_failed(const Error& reason) {
  CHECK(state_ == State::kConnecting || state_ == State::kHandshaking);
  client_.metrics_.connect_failures.add();
  if (logged_failure_ != reason.code()) {
    logged_failure_ = reason.code();
    client_.env_.logger.warn("cannot connect",
                             {{"address", address_.text}, {"why", reason.describe()}});
  }
  if (connection_) client_.bury(std::move(connection_));
  state_ = State::kIdle;
  schedule_next_attempt();
  // A wrong key does not get better by trying elsewhere; everything else may.
  const Errc code = reason.code() == Errc::kUnauthenticated ? reason.code() : Errc::kUnavailable;
  const Error failure(code, address_.text + ": " + reason.message() + "; nothing was sent");
  fail_pending(failure, failure);
}

void Channel::schedule_next_attempt() {
  const auto& options = client_.options_;
  const uint32_t doublings = std::min<uint32_t>(failed_attempts_++, 20);
  const int64_t delay_ns =
      std::min<int64_t>(options.backoff_min.count() << doublings, options.backoff_max.count());
  // Half of it is left to chance, so that clients of one server do not come back all at once.
  const auto jitter_ns =
      static_cast<int64_t>(client_.rng_.below(static_cast<uint64_t>(delay_ns / 2) + 1));
  next_attempt_at_ = client_.env_.clock.now() + Duration(delay_ns - jitter_ns);
}

void Channel::become_ready() {
  const Instant now = client_.env_.clock.now();
  state_ = State::kReady;
  failed_attempts_ = 0;
  silent_timeouts_ = 0;
  logged_failure_.reset();
  probe_by_.reset();
  last_received_at_ = now;
  reader_->set_limits(client_.options_.limits);
  client_.env_.logger.debug("connected", {{"address", address_.text}});
  for (PendingCall* call = first_; call; call = call->next_) {
    waiting_bytes_ -= call->frame_.size_bytes();
    send_call(*call, now);
  }
  CHECK(waiting_bytes_ == 0);
}

void Channel::lose_connection(const Error& reason) {
  if (state_ == State::kHandshaking) return attempt_failed(reason);
  CHECK(state_ == State::kReady);
  client_.env_.logger.info("connection lost",
                           {{"address", address_.text}, {"why", reason.describe()}});
  client_.bury(std::move(connection_));
  state_ = State::kIdle;
  probe_by_.reset();
  schedule_next_attempt();
  const Error failure(Errc::kUnavailable, address_.text + ": the connection was lost (" +
                                              reason.message() + "); the outcome is unknown");
  fail_pending(failure, failure);
}

void Channel::close() {
  if (attempt_) *std::exchange(attempt_, nullptr) = nullptr;
  if (connection_) client_.bury(std::move(connection_));
  state_ = State::kClosed;
  fail_pending(error(Errc::kClosed, "the client is stopping; nothing was sent"),
               error(Errc::kClosed, "the client is stopping; the outcome is unknown"));
}

// --- What arrives ---

size_t Channel::on_bytes(ByteView bytes) {
  const size_t arrived_bytes = bytes.size();
  client_.metrics_.received_bytes.add(arrived_bytes);
  if (!connection_) return arrived_bytes;  // given up in this turn
  silent_timeouts_ = 0;
  probe_by_.reset();
  last_received_at_ = client_.env_.clock.now();
  while (true) {
    const auto step = reader_->next(bytes);
    if (step == FrameReader::Step::kNeedMore) break;
    if (step == FrameReader::Step::kBroken) {
      lose_connection(reader_->error());
      break;
    }
    if (Status taken = take_frame(reader_->frame()); !taken) {
      lose_connection(taken.error());
      break;
    }
  }
  return arrived_bytes;
}

void Channel::on_closed(Error reason) {
  if (connection_) lose_connection(reason);
}

Status Channel::take_frame(Frame& frame) {
  const FrameKind kind = frame.prefix.kind;
  if (kind == FrameKind::kError && frame.prefix.call_id == 0) return decode_error(frame.header);
  if (state_ == State::kHandshaking) {
    if (kind == FrameKind::kChallenge) return take_challenge(frame);
    if (kind == FrameKind::kWelcome) return take_welcome(frame);
  } else {
    if (kind == FrameKind::kResponse || kind == FrameKind::kError) return take_answer(frame);
    if (kind == FrameKind::kPong) return ok();
  }
  return error(Errc::kProtocol,
               "a " + std::string(to_string(kind)) + " frame that is not expected");
}

Status Channel::take_challenge(const Frame& frame) {
  if (frame.header.size() != sizeof(ChallengeBody)) {
    return error(Errc::kProtocol, "a challenge of the wrong size");
  }
  server_nonce_ = load<ChallengeBody>(frame.header).server_nonce;
  client_.env_.entropy.fill(client_nonce_);
  const ProofBody body{client_nonce_,
                       prove(client_.key_, Role::kClient, server_nonce_, client_nonce_)};
  send_now(make_frame(FrameKind::kProof, bytes_of(body)), 0, 0);
  return ok();
}

Status Channel::take_welcome(const Frame& frame) {
  if (frame.header.size() != sizeof(WelcomeBody)) {
    return error(Errc::kProtocol, "a welcome of the wrong size");
  }
  // Without a challenge before it the nonces are old or zero, and no proof matches them.
  const Proof expected = prove(client_.key_, Role::kServer, server_nonce_, client_nonce_);
  if (!same_proof(load<WelcomeBody>(frame.header).server_proof, expected)) {
    return error(Errc::kUnauthenticated, "the server did not prove that it knows the cluster key");
  }
  become_ready();
  return ok();
}

Status Channel::take_answer(Frame& frame) {
  PendingCall* call = find(frame.prefix.call_id);
  if (!call || !call->sent_) {
    client_.metrics_.late_answers.add();  // its caller has given up
    return ok();
  }
  if (frame.prefix.kind == FrameKind::kError) {
    complete(*call, decode_error(frame.header));
  } else if (!decode(frame.header, call->reply_)) {
    complete(*call, error(Errc::kProtocol, "the answer cannot be read; the outcome is unknown"));
  } else {
    call->attachment_ = std::move(frame.attachment);
    complete(*call);
  }
  return ok();
}

// --- Time ---

bool Channel::sweep(Instant now) {
  sweep_calls(now);
  if (state_ == State::kReady && silent_timeouts_ >= client_.options_.silent_timeouts_max) {
    lose_connection(error(Errc::kTimeout, "calls timed out " + std::to_string(silent_timeouts_) +
                                              " times in a row without a byte received"));
  }
  if (state_ == State::kReady && probe_by_ && now >= *probe_by_) {
    lose_connection(error(Errc::kTimeout, "a ping was not answered"));
  }
  if (state_ == State::kHandshaking && now >= handshake_by_) {
    lose_connection(error(Errc::kTimeout, "the peer did not finish the handshake"));
  }
  if (state_ == State::kIdle && first_ && now >= next_attempt_at_) begin_attempt();
  return first_ || probe_by_ || state_ == State::kHandshaking;
}

void Channel::sweep_calls(Instant now) {
  bool any_sent_timed_out = false;
  PendingCall* next = first_;
  while (PendingCall* call = next) {
    next = call->next_;
    if (now < call->deadline_) continue;
    client_.metrics_.timeouts.add();
    if (call->sent_) {
      any_sent_timed_out = true;
      complete(*call, error(Errc::kTimeout, address_.text +
                                                " did not answer before the deadline; the outcome "
                                                "is unknown"));
    } else {
      complete(*call, error(Errc::kTimeout, "no connection to " + address_.text +
                                                " before the deadline; nothing was sent"));
    }
  }
  if (!any_sent_timed_out) return;
  // A burst that expires at once counts once, and a peer that is merely slow answers the ping.
  ++silent_timeouts_;
  probe(now);
}

}  // namespace cairn::rpc
