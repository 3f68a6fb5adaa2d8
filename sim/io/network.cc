#include "sim/io/network.h"

#include "sim/io/world.h"

namespace cairn::sim {

namespace {
bool is_unix(const io::Address& address) {
  return address.text.starts_with("unix:");
}
/// "host:port" in two; an empty port if there is none.
std::pair<std::string, std::string> split(const io::Address& address) {
  const auto colon = address.text.rfind(':');
  if (colon == std::string::npos) return {address.text, ""};
  return {address.text.substr(0, colon), address.text.substr(colon + 1)};
}
bool is_own(const std::string& host) {
  return host == "127.0.0.1" || host == "0.0.0.0" || host == "localhost" || host == "[::1]";
}
constexpr Duration kConnectRetry = 200ms;
}  // namespace

// ---- SimConnection

SimConnection::SimConnection(Fabric& fabric, Process& process, std::shared_ptr<Fabric::Link> link,
                             int side, io::Address peer)
    : fabric_(fabric),
      process_(process),
      link_(std::move(link)),
      side_(side),
      peer_(std::move(peer)) {
  end().connection = this;
}

SimConnection::~SimConnection() {
  end().connection = nullptr;
  if (end().is_gone) return;
  flush();
  end().is_gone = true;
  Fabric::Unit unit;
  unit.is_end = true;
  fabric_.queue_unit(link_, side_, std::move(unit));
  fabric_.drop_if_over(link_);
}

void SimConnection::start(io::ConnectionHandler& handler) {
  CHECK(!handler_, "a connection is started once");
  handler_ = &handler;
  // What came before is offered from the reactor, never from within this call.
  fabric_.schedule_offer(link_, side_);
}

void SimConnection::send(Buffer bytes) {
  if (end().is_gone || bytes.empty()) return;
  queued_bytes_ += bytes.size_bytes();
  queued_.push_back(std::move(bytes));
  if (unsent_bytes() > kUnsentHighBytes) end().was_over_high_water = true;
  process_.executor().at_turn_end(*this);
}

void SimConnection::on_turn_end() {
  flush();
}

void SimConnection::flush() {
  if (queued_.empty()) return;
  Fabric::Unit unit;
  unit.parts = std::move(queued_);
  unit.bytes = queued_bytes_;
  queued_.clear();
  queued_bytes_ = 0;
  if (!end().is_gone) fabric_.queue_unit(link_, side_, std::move(unit));
}

size_t SimConnection::unsent_bytes() const {
  return queued_bytes_ + end().waiting_bytes;
}

void SimConnection::expect(size_t bytes) {
  CHECK(bytes <= kReceiveBytesMax, "a connection receives at most kReceiveBytesMax at once");
  end().expected_bytes = bytes;
}

void SimConnection::pause_reading() {
  end().is_reading_paused = true;
}

void SimConnection::resume_reading() {
  if (!std::exchange(end().is_reading_paused, false)) return;
  fabric_.schedule_offer(link_, side_);
}

// ---- SimListener

SimListener::SimListener(Fabric& fabric, Process& process, std::string key, io::Address address,
                         io::Network::Accept accept)
    : fabric_(fabric),
      process_(process),
      key_(std::move(key)),
      address_(std::move(address)),
      accept_(std::move(accept)) {
  fabric_.listeners_[key_] = this;
}

SimListener::~SimListener() {
  const auto found = fabric_.listeners_.find(key_);
  if (found != fabric_.listeners_.end() && found->second == this) fabric_.listeners_.erase(found);
}

// ---- SimNetwork

std::string SimNetwork::key_of(const io::Address& address) const {
  // Loopback names and paths mean this host alone.
  if (is_unix(address)) return process_.host().ip() + "|" + address.text;
  const auto [host, port] = split(address);
  return (is_own(host) ? process_.host().ip() : host) + ":" + port;
}

Result<std::unique_ptr<io::Listener>> SimNetwork::listen(io::Address address, Accept accept) {
  if (!is_unix(address)) {
    const auto [host, port] = split(address);
    if (port.empty() || (!is_own(host) && host != process_.host().ip())) {
      return error(Errc::kInvalidArgument,
                   "listen on " + address.text + ": not an address of " + process_.host().name());
    }
    if (port == "0") address.text = host + ":" + std::to_string(++fabric_.next_port_);
  }
  const std::string key = key_of(address);
  if (fabric_.listeners_.contains(key)) {
    return error(Errc::kAlreadyExists, "listen on " + address.text + ": address in use");
  }
  std::unique_ptr<io::Listener> listener =
      std::make_unique<SimListener>(fabric_, process_, key, address, std::move(accept));
  return listener;
}

Result<std::unique_ptr<io::Connection>> SimNetwork::establish(const io::Address& address) {
  const auto found = fabric_.listeners_.find(key_of(address));
  if (found == fabric_.listeners_.end()) {
    return error(Errc::kUnavailable, "connect to " + address.text + ": connection refused");
  }
  Process& acceptor = found->second->process_;
  auto link = fabric_.make_link(process_, acceptor);
  // The kernel completes the handshake; the process hears of it when it runs.
  fabric_.world_.deliver(
      acceptor.number(), [this_fabric = &fabric_, link, key = found->first,
                          peer = process_.host().ip() + ":0", number = acceptor.number()] {
        const auto listener = this_fabric->listeners_.find(key);
        if (link->ends[1].is_gone) return;
        if (listener == this_fabric->listeners_.end() ||
            listener->second->process_.number() != number) {
          this_fabric->abandon(link, 1);
          this_fabric->send_reset(link, 1);
          return;
        }
        SimListener& by = *listener->second;
        by.accept_(
            std::make_unique<SimConnection>(*this_fabric, by.process_, link, 1, io::Address{peer}));
      });
  std::unique_ptr<io::Connection> connection =
      std::make_unique<SimConnection>(fabric_, process_, link, 0, address);
  return connection;
}

io::Task<Result<std::unique_ptr<io::Connection>>> SimNetwork::connect(io::Address address,
                                                                      Duration timeout) {
  const Instant deadline = fabric_.world_.now() + timeout;
  Host* own = &process_.host();
  const bool is_local = is_unix(address) || is_own(split(address).first);
  Host* target = is_local ? own : fabric_.host_of(address);
  while (target) {
    if (fabric_.passes(*own, *target) && fabric_.passes(*target, *own)) {
      const Duration round_trip =
          fabric_.draw_latency(*own, *target) + fabric_.draw_latency(*target, *own);
      if (fabric_.world_.now() + round_trip > deadline) break;
      co_await process_.delay(round_trip);
      if (fabric_.passes(*own, *target) && fabric_.passes(*target, *own)) {
        co_return establish(address);
      }
    }
    // The first packet was lost: the kernel sends it again until the caller gives up.
    if (fabric_.world_.now() + kConnectRetry > deadline) break;
    co_await process_.delay(kConnectRetry);
  }
  if (fabric_.world_.now() < deadline) co_await process_.delay(deadline - fabric_.world_.now());
  co_return error(Errc::kUnavailable, "connect to " + address.text + ": no answer within " +
                                          std::to_string(to_ms(timeout)) + " ms");
}

}  // namespace cairn::sim
