#include "sim/io/fabric.h"

#include <cmath>

#include "sim/io/network.h"
#include "sim/io/world.h"

namespace cairn::sim {

Fabric::Fabric(World& world) : world_(world), rng_(world.fork_rng()) {}
Fabric::~Fabric() = default;

// ---- faults

void Fabric::set_extra_delay(const Host& from, const Host& to, Duration delay) {
  const std::pair key{from.number(), to.number()};
  if (delay == Duration::zero()) {
    extra_delays_.erase(key);
  } else {
    extra_delays_[key] = delay;
  }
}

void Fabric::cut(const Host& from, const Host& to) {
  CHECK(&from != &to, "a host always reaches itself");
  cuts_.insert({from.number(), to.number()});
}

void Fabric::cut_both(const Host& a, const Host& b) {
  cut(a, b);
  cut(b, a);
}

void Fabric::heal(const Host& from, const Host& to) {
  if (cuts_.erase({from.number(), to.number()}) == 0) return;
  auto& hosts = world_.hosts();
  resend_held(*hosts[from.number() - 1], *hosts[to.number() - 1]);
}

void Fabric::heal_both(const Host& a, const Host& b) {
  heal(a, b);
  heal(b, a);
}

void Fabric::split(const std::vector<Host*>& side, const std::vector<Host*>& other) {
  for (const Host* a : side) {
    for (const Host* b : other) cut_both(*a, *b);
  }
}

void Fabric::join(const std::vector<Host*>& side, const std::vector<Host*>& other) {
  for (const Host* a : side) {
    for (const Host* b : other) heal_both(*a, *b);
  }
}

void Fabric::heal_all() {
  extra_delays_.clear();
  const auto cuts = cuts_;
  auto& hosts = world_.hosts();
  for (const auto& [from, to] : cuts) heal(*hosts[from - 1], *hosts[to - 1]);
}

bool Fabric::is_cut(const Host& from, const Host& to) const {
  return cuts_.contains({from.number(), to.number()});
}

bool Fabric::passes(const Host& from, const Host& to) const {
  if (&from == &to) return true;
  return !is_cut(from, to) && !from.is_dark() && !to.is_dark();
}

void Fabric::reset_connections(const Host& a, const Host& b) {
  const auto links = links_;
  for (const auto& [id, link] : links) {
    const bool forward = link->ends[0].host == &a && link->ends[1].host == &b;
    const bool backward = link->ends[0].host == &b && link->ends[1].host == &a;
    if (!forward && !backward) continue;
    for (int side = 0; side < 2; ++side) {
      End& end = link->ends[side];
      if (end.is_gone) continue;
      end.was_reset = true;
      end.reset_reason = "connection reset by the network";
      abandon(link, side);
      schedule_offer(link, side);
    }
    ++counters_.connections_broken;
    drop_if_over(link);
  }
}

// ---- links

Fabric::LinkPointer Fabric::make_link(Process& from, Process& to) {
  auto link = std::make_shared<Link>();
  link->id = next_link_id_++;
  link->ends[0].host = &from.host();
  link->ends[0].process_number = from.number();
  link->ends[1].host = &to.host();
  link->ends[1].process_number = to.number();
  links_[link->id] = link;
  ++counters_.connections;
  return link;
}

Host* Fabric::host_of(const io::Address& address) const {
  const std::string ip = address.text.substr(0, address.text.rfind(':'));
  for (const auto& host : world_.hosts()) {
    if (host->ip() == ip) return host.get();
  }
  return nullptr;
}

Duration Fabric::draw_latency(const Host& from, const Host& to) {
  if (&from == &to) return model_.loopback;
  const double tail =
      -std::log(1.0 - rng_.unit()) * static_cast<double>(model_.latency_tail_mean.count());
  Duration latency = model_.latency_min + Duration(static_cast<int64_t>(tail));
  if (model_.spike_chance > 0 && rng_.chance(model_.spike_chance)) {
    latency += Duration(rng_.below(static_cast<uint64_t>(model_.spike_max.count()) + 1));
  }
  if (!extra_delays_.empty()) {
    const auto found = extra_delays_.find({from.number(), to.number()});
    if (found != extra_delays_.end()) latency += found->second;
  }
  return latency;
}

void Fabric::abandon(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  end.is_gone = true;
  end.waiting.clear();
  end.waiting_bytes = 0;
  end.held.clear();
  if (end.give_up != 0) world_.cancel(std::exchange(end.give_up, 0));
}

void Fabric::drop_if_over(const LinkPointer& link) {
  for (const End& end : link->ends) {
    if (!end.is_gone || !end.waiting.empty() || !end.held.empty()) return;
  }
  links_.erase(link->id);
}

// ---- sending

void Fabric::queue_unit(const LinkPointer& link, int side, Unit unit) {
  End& end = link->ends[side];
  end.waiting_bytes += unit.bytes;
  end.waiting.push_back(std::move(unit));
  pump(link, side);
}

void Fabric::pump(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  while (!end.waiting.empty() && end.in_flight_bytes < kWindowBytes) {
    Unit unit = std::move(end.waiting.front());
    end.waiting.pop_front();
    end.waiting_bytes -= unit.bytes;
    transmit(link, side, std::move(unit));
  }
}

void Fabric::transmit(const LinkPointer& link, int side, Unit unit) {
  End& end = link->ends[side];
  ++counters_.units;
  counters_.bytes += unit.bytes;
  const bool is_local = link->ends[0].host == link->ends[1].host;
  if (faults_.any() && codec_.frame_bytes && unit.bytes > 0 && !end.is_opaque && !is_local) {
    if (transmit_frames(link, side, unit)) return;
  }
  end.in_flight_bytes += unit.bytes;
  send_now(link, side, std::move(unit), Duration::zero());
}

bool Fabric::transmit_frames(const LinkPointer& link, int side, const Unit& unit) {
  End& end = link->ends[side];
  Buffer flat = Buffer::allocate(unit.bytes);
  size_t filled = 0;
  for (const Buffer& part : unit.parts) {
    std::memcpy(flat.mutable_view().data() + filled, part.data(), part.size_bytes());
    filled += part.size_bytes();
  }
  Unit in_order;
  std::vector<std::pair<Buffer, Duration>> extra;
  for (size_t at = 0; at < flat.size_bytes();) {
    const size_t bytes = codec_.frame_bytes(flat.view().subspan(at));
    if (bytes == 0 || bytes > flat.size_bytes() - at) {
      // A part of a frame: whatever comes late now would land in its middle.
      end.is_opaque = true;
      return false;
    }
    const Buffer frame = flat.slice(at, bytes);
    at += bytes;
    const Duration late(rng_.below(static_cast<uint64_t>(faults_.delay_max.count()) + 1));
    const bool may_fault = !codec_.may_fault || codec_.may_fault(frame.view());
    if (may_fault && rng_.chance(faults_.drop)) {
      ++counters_.frames_dropped;
      continue;
    }
    if (may_fault && rng_.chance(faults_.delay)) {
      ++counters_.frames_delayed;
      extra.emplace_back(frame, late);
      continue;
    }
    if (may_fault && rng_.chance(faults_.duplicate)) {
      ++counters_.frames_duplicated;
      extra.emplace_back(frame, late);
    }
    in_order.bytes += bytes;
    in_order.parts.push_back(frame);
  }
  for (auto& [frame, late] : extra) {
    Unit one;
    one.bytes = frame.size_bytes();
    one.parts.push_back(std::move(frame));
    one.is_extra = true;
    send_now(link, side, std::move(one), late);
  }
  if (in_order.bytes > 0) {
    end.in_flight_bytes += in_order.bytes;
    send_now(link, side, std::move(in_order), Duration::zero());
  }
  return true;
}

void Fabric::send_now(const LinkPointer& link, int side, Unit unit, Duration extra_delay) {
  End& end = link->ends[side];
  End& peer = link->ends[1 - side];
  if (!passes(*end.host, *peer.host) || !end.held.empty()) {
    if (!unit.is_extra) hold(link, side, std::move(unit));
    return;
  }
  // Without acknowledgements from the other direction the sender gives up as well.
  if (!passes(*peer.host, *end.host)) watch(link, side);
  Instant arrival = world_.now() + draw_latency(*end.host, *peer.host) + extra_delay;
  if (!unit.is_extra) {
    arrival = std::max(arrival, end.last_arrival);
    end.last_arrival = arrival;
  }
  auto held_unit = std::make_shared<Unit>(std::move(unit));
  world_.at(arrival, [this, link, side, held_unit] {
    End& sender = link->ends[side];
    if (!passes(*sender.host, *link->ends[1 - side].host)) {
      // The link was cut while it was under way.
      if (!held_unit->is_extra) hold(link, side, std::move(*held_unit));
      return;
    }
    arrive(link, 1 - side, std::move(*held_unit));
  });
}

void Fabric::hold(const LinkPointer& link, int side, Unit unit) {
  End& end = link->ends[side];
  if (unit.is_reset) return;  // a reset is sent once, and lost like any packet
  ++counters_.units_held;
  end.held.push_back(std::move(unit));
  watch(link, side);
}

void Fabric::watch(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  if (end.give_up != 0) return;
  const auto spread = static_cast<uint64_t>((model_.give_up_max - model_.give_up_min).count());
  const Duration patience = model_.give_up_min + Duration(rng_.below(spread + 1));
  end.give_up = world_.after(patience, [this, link, side] {
    link->ends[side].give_up = 0;
    give_up(link, side);
  });
}

void Fabric::give_up(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  const Host& peer = *link->ends[1 - side].host;
  const bool is_stuck = !end.held.empty() || !passes(*end.host, peer) || !passes(peer, *end.host);
  if (!is_stuck) return;
  ++counters_.connections_broken;
  const bool was_gone = end.is_gone;
  abandon(link, side);
  if (!was_gone) {
    end.was_reset = true;
    end.reset_reason = "connection timed out";
    schedule_offer(link, side);
  }
  drop_if_over(link);
}

void Fabric::resend_held(Host& from, Host& to) {
  const auto links = links_;
  for (const auto& [id, link] : links) {
    for (int side = 0; side < 2; ++side) {
      End& end = link->ends[side];
      if (end.host != &from || link->ends[1 - side].host != &to || end.held.empty()) continue;
      // Retransmission timers back off: the data comes some time after the link is there again.
      world_.after(Duration(rng_.below(static_cast<uint64_t>(Duration(400ms).count()))),
                   [this, link, side] {
                     End& sender = link->ends[side];
                     if (!passes(*sender.host, *link->ends[1 - side].host)) return;
                     std::deque<Unit> units;
                     units.swap(sender.held);
                     if (sender.give_up != 0) world_.cancel(std::exchange(sender.give_up, 0));
                     for (Unit& unit : units) {
                       send_now(link, side, std::move(unit), Duration::zero());
                     }
                   });
    }
  }
}

void Fabric::send_reset(const LinkPointer& link, int side) {
  Unit unit;
  unit.is_reset = true;
  send_now(link, side, std::move(unit), Duration::zero());
}

// ---- receiving

void Fabric::arrive(const LinkPointer& link, int receiver, Unit unit) {
  End& end = link->ends[receiver];
  if (unit.is_reset) {
    if (end.is_gone) return;
    end.was_reset = true;
    end.reset_reason = "connection reset by the peer";
    abandon(link, receiver);
    schedule_offer(link, receiver);
    drop_if_over(link);
    return;
  }
  if (end.is_gone) {
    release_window(link, 1 - receiver, unit.is_extra ? 0 : unit.bytes);
    if (!link->ends[1 - receiver].is_gone) send_reset(link, receiver);
    return;
  }
  if (unit.is_end) {
    end.peer_ended = true;
  } else {
    if (unit.is_extra) {
      // It was never counted as in flight: the account stays right when it is consumed.
      link->ends[1 - receiver].in_flight_bytes += unit.bytes;
    }
    for (const Buffer& part : unit.parts) {
      end.received.insert(end.received.end(), part.view().begin(), part.view().end());
    }
  }
  schedule_offer(link, receiver);
}

void Fabric::schedule_offer(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  if (std::exchange(end.is_offer_pending, true)) return;
  // An event of its own: the caller may be in a turn, and no callback runs within a call.
  world_.queue().push(world_.now(), end.process_number, [this, link, side] {
    link->ends[side].is_offer_pending = false;
    offer(link, side);
  });
}

void Fabric::offer(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  if (!end.connection || !end.connection->handler_) return;
  if (!end.was_reset) offer_bytes(link, side);
  if (!end.connection || !end.connection->handler_) return;
  const size_t rest_bytes = end.received.size() - end.consumed;
  if (end.was_reset || (end.peer_ended && !end.is_reading_paused)) {
    const std::string reason = end.was_reset
                                   ? end.reset_reason
                                   : (rest_bytes > 0 ? "the peer closed in the middle of a message"
                                                     : "the peer closed the connection");
    io::ConnectionHandler* handler = std::exchange(end.connection->handler_, nullptr);
    // Closed in both directions, as every user of a connection treats it.
    if (!end.is_gone) {
      abandon(link, side);
      if (!link->ends[1 - side].is_gone) send_reset(link, side);
    }
    drop_if_over(link);
    handler->on_closed(error(Errc::kClosed, reason));
    return;
  }
  if (end.was_over_high_water && end.connection->unsent_bytes() < io::Connection::kUnsentLowBytes) {
    end.was_over_high_water = false;
    end.connection->handler_->on_writable();
  }
}

void Fabric::offer_bytes(const LinkPointer& link, int side) {
  End& end = link->ends[side];
  while (end.connection && end.connection->handler_ && !end.is_reading_paused) {
    const size_t ready_bytes = end.received.size() - end.consumed;
    if (ready_bytes == 0 || ready_bytes < end.expected_bytes) return;
    end.expected_bytes = 0;
    const ByteView view(end.received.data() + end.consumed, ready_bytes);
    const size_t taken_bytes = end.connection->handler_->on_bytes(view);
    CHECK(taken_bytes <= ready_bytes, "more was consumed than was there");
    end.consumed += taken_bytes;
    release_window(link, 1 - side, taken_bytes);
    if (end.consumed == end.received.size()) {
      end.received.clear();
      end.consumed = 0;
    } else if (end.consumed > (size_t{64} << 10)) {
      end.received.erase(end.received.begin(),
                         end.received.begin() + static_cast<ptrdiff_t>(end.consumed));
      end.consumed = 0;
    }
    // The rest waits for more behind it, unless the handler asked for just that much.
    const size_t rest_bytes = end.received.size() - end.consumed;
    if (end.expected_bytes == 0 || rest_bytes < end.expected_bytes) return;
  }
}

void Fabric::release_window(const LinkPointer& link, int sender, size_t bytes) {
  End& end = link->ends[sender];
  CHECK(end.in_flight_bytes >= bytes);
  end.in_flight_bytes -= bytes;
  if (end.waiting.empty() && !end.was_over_high_water) return;
  // The acknowledgement travels back.
  const Duration latency = draw_latency(*link->ends[1 - sender].host, *end.host);
  world_.after(latency, [this, link, sender] {
    pump(link, sender);
    if (link->ends[sender].was_over_high_water) schedule_offer(link, sender);
    drop_if_over(link);
  });
}

// ---- hosts

void Fabric::on_process_gone(Process& process, CrashKind kind) {
  const auto links = links_;
  for (const auto& [id, link] : links) {
    for (int side = 0; side < 2; ++side) {
      End& end = link->ends[side];
      if (end.process_number != process.number() || end.is_gone) continue;
      abandon(link, side);
      if (kind == CrashKind::kKill) {
        // The kernel closes what the process had open, behind what it had sent already.
        Unit unit;
        unit.is_reset = true;
        send_now(link, side, std::move(unit), Duration::zero());
      }
    }
    drop_if_over(link);
  }
}

void Fabric::on_host_up(Host& host) {
  for (const auto& other : world_.hosts()) {
    if (other.get() == &host) continue;
    if (!is_cut(*other, host)) resend_held(*other, host);
  }
}

}  // namespace cairn::sim
