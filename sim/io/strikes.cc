#include "sim/io/strikes.h"

#include <cmath>

namespace cairn::sim {

void Strikes::after(Duration delay, std::function<void()> work) {
  auto id = std::make_shared<EventId>(0);
  *id = world_.after(delay, [this, id, work = std::move(work)] {
    pending_.erase(*id);
    work();
  });
  pending_.insert(*id);
}

void Strikes::every(Duration mean, std::function<void()> strike) {
  if (mean == Duration::zero()) return;
  const double wait = -std::log(1.0 - rng_.unit()) * static_cast<double>(mean.count());
  after(Duration(static_cast<int64_t>(wait)), [this, mean, strike = std::move(strike)] {
    ++count_;
    strike();
    every(mean, strike);
  });
}

void Strikes::stop() {
  for (const EventId id : pending_) world_.cancel(id);
  pending_.clear();
}

void Strikes::split_for(const std::vector<Host*>& side, const std::vector<Host*>& other,
                        Duration duration) {
  world_.fabric().split(side, other);
  after(duration, [this, side, other] { world_.fabric().join(side, other); });
}

void Strikes::cut_for(Host& from, Host& to, Duration duration) {
  world_.fabric().cut(from, to);
  after(duration, [this, &from, &to] { world_.fabric().heal(from, to); });
}

void Strikes::slow_link_for(Host& from, Host& to, Duration delay, Duration duration) {
  world_.fabric().set_extra_delay(from, to, delay);
  after(duration,
        [this, &from, &to] { world_.fabric().set_extra_delay(from, to, Duration::zero()); });
}

void Strikes::slow_disk_for(SimDisk& disk, double factor, Duration duration) {
  disk.set_slowness(factor);
  after(duration, [&disk] { disk.set_slowness(1.0); });
}

double Strikes::draw_slowness(double low, double high) {
  return low * std::exp(rng_.unit() * std::log(std::max(high / low, 1.0)));
}

Duration Strikes::between(Duration low, Duration high) {
  high = std::max(low, high);
  return Duration(
      rng_.between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count())));
}

std::string describe_rate(const char* name, Duration mean) {
  if (mean == Duration::zero()) return "";
  return std::string(" ") + name + " every " + std::to_string(to_ms(mean)) + "ms";
}

std::string describe_chance(const char* name, double chance) {
  if (chance <= 0) return "";
  return std::string(" ") + name + " " + std::to_string(chance * 100).substr(0, 4) + "%";
}

std::string describe_noise(const FrameFaults& frames, int64_t drift_ppm_max) {
  std::string text = describe_chance("drop", frames.drop) +
                     describe_chance("duplicate", frames.duplicate) +
                     describe_chance("delay", frames.delay);
  if (drift_ppm_max > 0) text += " drift " + std::to_string(drift_ppm_max) + "ppm";
  return text;
}

}  // namespace cairn::sim
