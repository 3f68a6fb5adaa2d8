/// Strikes: what a nemesis does at random times, and what undoes it later; all of it ends with
/// stop().
/// Threads: one.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "sim/io/world.h"

namespace cairn::sim {

class Strikes {
 public:
  explicit Strikes(World& world) : world_(world), rng_(world.fork_rng()) {}
  ~Strikes() { stop(); }
  Strikes(const Strikes&) = delete;
  Strikes& operator=(const Strikes&) = delete;

  Rng& rng() { return rng_; }
  /// Again and again, after waits of `mean` (exponentially distributed); zero: never.
  void every(Duration mean, std::function<void()> strike);
  void after(Duration delay, std::function<void()> work);
  /// Nothing that was begun here happens any more.
  void stop();
  uint64_t count() const { return count_; }

  // Faults that undo themselves.
  void split_for(const std::vector<Host*>& side, const std::vector<Host*>& other,
                 Duration duration);
  void cut_for(Host& from, Host& to, Duration duration);
  void slow_link_for(Host& from, Host& to, Duration delay, Duration duration);
  void slow_disk_for(SimDisk& disk, double factor, Duration duration);

  /// By magnitudes: a little slow and hardly moving are different worlds.
  double draw_slowness(double low, double high);
  /// `high` is taken for `low` if it is less.
  Duration between(Duration low, Duration high);

 private:
  World& world_;
  Rng rng_;
  std::set<EventId> pending_;
  uint64_t count_ = 0;  ///< of what every() has called
};

/// " NAME every 17ms" for what strikes that often; nothing for what never does.
std::string describe_rate(const char* name, Duration mean);
/// " NAME 1.25%"; nothing for zero.
std::string describe_chance(const char* name, double chance);
/// What is there all the time: frames that go astray, and clocks that run fast or slow.
std::string describe_noise(const FrameFaults& frames, int64_t drift_ppm_max);

}  // namespace cairn::sim
