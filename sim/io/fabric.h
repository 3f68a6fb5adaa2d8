/// Fabric: the wires between simulated hosts, and what goes wrong on them.
///
/// A connection is two ordered byte streams. What one side queues in a turn travels as one unit and
/// arrives after a drawn latency. As under TCP, a cut link loses nothing by itself: what is sent
/// meanwhile is held, goes out when the link is healed, and breaks its side of the connection if
/// the cut outlasts a timeout. Whole frames of a stream can also be dropped, repeated and delayed
/// past others (the codec says where a frame ends), which is harder on the layers above than TCP.
/// Threads: one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "io/network.h"
#include "sim/io/event_queue.h"

namespace cairn::sim {

class World;
class Host;
class Process;
class SimConnection;
class SimListener;
enum class CrashKind : uint8_t;

struct LinkModel {
  Duration latency_min = 15us;
  Duration latency_tail_mean = 10us;  ///< exponential
  double spike_chance = 0.0;          ///< of a retransmission
  Duration spike_max = 200ms;
  Duration loopback = 8us;
  /// How long data may wait for a cut link before the sender gives the connection up.
  Duration give_up_min = 3s;
  Duration give_up_max = 15s;
};

/// Chances for each whole frame.
struct FrameFaults {
  double drop = 0;
  double duplicate = 0;
  double delay = 0;  ///< other frames overtake it
  Duration delay_max = 20ms;
  bool any() const { return drop > 0 || duplicate > 0 || delay > 0; }
};

/// Knows the frames of the protocol on the wire; the fabric does not.
struct FrameCodec {
  /// Bytes of the first frame, or 0 if `bytes` does not hold a whole one.
  std::function<size_t(ByteView bytes)> frame_bytes;
  /// Whether a frame may be dropped, repeated or delayed (a handshake's may not).
  std::function<bool(ByteView frame)> may_fault;
};

struct FabricCounters {
  uint64_t connections = 0;
  uint64_t units = 0;
  uint64_t bytes = 0;
  uint64_t frames_dropped = 0;
  uint64_t frames_duplicated = 0;
  uint64_t frames_delayed = 0;
  uint64_t connections_broken = 0;
  uint64_t units_held = 0;
};

class Fabric {
 public:
  explicit Fabric(World& world);
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  void set_model(LinkModel model) { model_ = model; }
  void set_frame_codec(FrameCodec codec) { codec_ = std::move(codec); }
  void set_frame_faults(FrameFaults faults) { faults_ = faults; }
  /// Added to the latency of one direction; zero takes it away.
  void set_extra_delay(const Host& from, const Host& to, Duration delay);

  /// Nothing passes from `from` to `to` until it is healed.
  void cut(const Host& from, const Host& to);
  void cut_both(const Host& a, const Host& b);
  void heal(const Host& from, const Host& to);
  void heal_both(const Host& a, const Host& b);
  /// Every host of the one side from every host of the other.
  void split(const std::vector<Host*>& side, const std::vector<Host*>& other);
  void join(const std::vector<Host*>& side, const std::vector<Host*>& other);
  /// Cuts and extra delays.
  void heal_all();
  bool is_cut(const Host& from, const Host& to) const;
  /// Resets every connection between two hosts, as a firewall that forgets its state.
  void reset_connections(const Host& a, const Host& b);

  const FabricCounters& counters() const { return counters_; }
  size_t links_count() const { return links_.size(); }

  // For Host and Process:
  void on_process_gone(Process& process, CrashKind kind);
  void on_host_up(Host& host);

 private:
  friend class SimConnection;
  friend class SimListener;
  friend class SimNetwork;

  /// What travels together.
  struct Unit {
    std::vector<Buffer> parts;
    size_t bytes = 0;
    bool is_end = false;    ///< the sender closed
    bool is_reset = false;  ///< the sender's kernel knows nothing of this connection (any more)
    bool is_extra = false;  ///< a delayed or repeated frame: outside of the window's account
  };
  struct End {
    Host* host = nullptr;
    uint32_t process_number = 0;
    SimConnection* connection = nullptr;
    bool is_gone = false;  ///< closed, crashed or broken: what arrives is answered with a reset
    // sending
    std::deque<Unit> waiting;  ///< queued behind the window
    size_t waiting_bytes = 0;
    size_t in_flight_bytes = 0;  ///< sent and not yet consumed by the peer
    Instant last_arrival{};
    std::deque<Unit> held;  ///< sent into a cut
    EventId give_up = 0;
    bool was_over_high_water = false;
    bool is_opaque = false;  ///< the codec lost track: no more frame faults on this stream
    // receiving
    std::vector<std::byte> received;
    size_t consumed = 0;
    size_t expected_bytes = 0;
    bool is_reading_paused = false;
    bool is_offer_pending = false;
    bool peer_ended = false;
    bool was_reset = false;
    std::string reset_reason;
  };
  struct Link {
    uint64_t id = 0;
    End ends[2];
  };
  using LinkPointer = std::shared_ptr<Link>;  ///< events in flight keep it

  static constexpr size_t kWindowBytes = size_t{1} << 20;

  LinkPointer make_link(Process& from, Process& to);
  Host* host_of(const io::Address& address) const;
  Duration draw_latency(const Host& from, const Host& to);
  bool passes(const Host& from, const Host& to) const;

  void queue_unit(const LinkPointer& link, int side, Unit unit);
  void pump(const LinkPointer& link, int side);
  void transmit(const LinkPointer& link, int side, Unit unit);
  bool transmit_frames(const LinkPointer& link, int side, const Unit& unit);
  void send_now(const LinkPointer& link, int side, Unit unit, Duration extra_delay);
  void hold(const LinkPointer& link, int side, Unit unit);
  void watch(const LinkPointer& link, int side);
  void give_up(const LinkPointer& link, int side);
  void resend_held(Host& from, Host& to);
  void arrive(const LinkPointer& link, int receiver, Unit unit);
  void send_reset(const LinkPointer& link, int side);
  void schedule_offer(const LinkPointer& link, int side);
  void offer(const LinkPointer& link, int side);
  void offer_bytes(const LinkPointer& link, int side);
  void release_window(const LinkPointer& link, int sender, size_t bytes);
  void abandon(const LinkPointer& link, int side);
  void drop_if_over(const LinkPointer& link);

  World& world_;
  Rng rng_;
  LinkModel model_;
  FrameCodec codec_;
  FrameFaults faults_;
  FabricCounters counters_;
  std::set<std::pair<size_t, size_t>> cuts_;  ///< host numbers: from, to
  std::map<std::pair<size_t, size_t>, Duration> extra_delays_;
  std::map<uint64_t, LinkPointer> links_;
  std::map<std::string, SimListener*> listeners_;
  uint64_t next_link_id_ = 1;
  uint16_t next_port_ = 20000;
};

}  // namespace cairn::sim
