#include "sim/check/register_check.h"

#include <algorithm>
#include <unordered_map>

#include "base/check.h"

namespace cairn::sim {

namespace {

std::string describe(Moment moment) {
  return moment == kNever ? "never" : std::to_string(moment);
}

std::string describe(const RegisterOp& op) {
  return std::string(op.is_write ? "write" : "read") + " of " + std::to_string(op.value) +
         " by client " + std::to_string(op.client) + " [" + describe(op.invoked) + ", " +
         describe(op.returned) + "]";
}

/// A write and the reads of its value.
struct Cluster {
  const RegisterOp* write = nullptr;
  const RegisterOp* earliest = nullptr;  ///< of the earliest response
  const RegisterOp* latest = nullptr;    ///< of the latest invocation
  bool is_read = false;

  void add(const RegisterOp& op) {
    if (!earliest || op.returned < earliest->returned) earliest = &op;
    if (!latest || op.invoked > latest->invoked) latest = &op;
  }
  Moment f() const { return earliest->returned; }
  Moment s() const { return latest->invoked; }
  bool is_forward() const { return f() < s(); }
};

Violation violation(ViolationKind kind, const std::vector<const RegisterOp*>& ops) {
  std::string text = to_string(kind);
  for (const RegisterOp* op : ops) text += "\n      " + describe(*op);
  return {kind, text};
}

std::optional<Violation> check_zones(std::vector<const Cluster*> forward,
                                     const std::vector<const Cluster*>& backward) {
  std::sort(forward.begin(), forward.end(),
            [](const Cluster* a, const Cluster* b) { return a->f() < b->f(); });
  for (size_t i = 1; i < forward.size(); ++i) {
    const Cluster& before = *forward[i - 1];
    const Cluster& after = *forward[i];
    if (after.f() < before.s()) {
      return violation(ViolationKind::kForwardOverlap,
                       {before.earliest, after.earliest, before.latest, after.latest});
    }
  }
  // Disjoint now: at most one forward zone begins before a moment and has not ended.
  for (const Cluster* inner : backward) {
    auto next =
        std::upper_bound(forward.begin(), forward.end(), inner->s(),
                         [](Moment moment, const Cluster* zone) { return moment < zone->f(); });
    if (next == forward.begin()) continue;
    const Cluster& outer = **std::prev(next);
    if (inner->f() < outer.s()) {
      return violation(ViolationKind::kBackwardInForward,
                       {outer.earliest, inner->write, outer.latest});
    }
  }
  return std::nullopt;
}

/// Zeros may come from any zero-write: a read of them is wrong for certain if some other value was
/// in place before it began, and every zero-write that could explain it had ended before that.
std::optional<Violation> check_zeros(const std::vector<const RegisterOp*>& zero_reads,
                                     std::vector<const RegisterOp*> zero_writes,
                                     std::vector<const Cluster*> others) {
  std::sort(zero_writes.begin(), zero_writes.end(),
            [](auto* a, auto* b) { return a->invoked < b->invoked; });
  std::vector<const RegisterOp*> latest_ended;  // of the zero-writes up to here
  for (const RegisterOp* write : zero_writes) {
    const bool is_later = latest_ended.empty() || write->returned > latest_ended.back()->returned;
    latest_ended.push_back(is_later ? write : latest_ended.back());
  }
  std::sort(others.begin(), others.end(), [](auto* a, auto* b) { return a->f() < b->f(); });
  std::vector<const Cluster*> latest_begun;
  for (const Cluster* cluster : others) {
    const bool is_later =
        latest_begun.empty() || cluster->write->invoked > latest_begun.back()->write->invoked;
    latest_begun.push_back(is_later ? cluster : latest_begun.back());
  }
  for (const RegisterOp* read : zero_reads) {
    const auto replaced = std::partition_point(
        others.begin(), others.end(), [&](const Cluster* c) { return c->f() < read->invoked; });
    const auto possible =
        std::partition_point(zero_writes.begin(), zero_writes.end(),
                             [&](const RegisterOp* w) { return w->invoked < read->returned; });
    if (possible == zero_writes.begin()) {
      return violation(ViolationKind::kNeverWritten, {read});
    }
    if (replaced == others.begin()) continue;
    const Cluster& replacer = *latest_begun[static_cast<size_t>(replaced - others.begin()) - 1];
    const RegisterOp* zeros = latest_ended[static_cast<size_t>(possible - zero_writes.begin()) - 1];
    if (zeros->returned < replacer.write->invoked) {
      return violation(ViolationKind::kStaleZeros,
                       {zeros, replacer.write, replacer.earliest, read});
    }
  }
  return std::nullopt;
}

}  // namespace

std::string to_string(ViolationKind kind) {
  switch (kind) {
    case ViolationKind::kNeverWritten:
      return "a read returned what nobody wrote";
    case ViolationKind::kReadBeforeWrite:
      return "a read ended before the write of its value began";
    case ViolationKind::kForwardOverlap:
      return "each of two values was seen before and after the other";
    case ViolationKind::kBackwardInForward:
      return "a value was seen again after another had replaced it";
    case ViolationKind::kStaleZeros:
      return "zeros came back after something had replaced them";
  }
  CHECK(false);
}

std::optional<Violation> check_register(const std::vector<RegisterOp>& history) {
  // The register holds zeros before the first moment.
  static constexpr RegisterOp kInitial{true, kZeroValue, 0, 0, 0};
  std::vector<const RegisterOp*> zero_writes{&kInitial};
  std::vector<const RegisterOp*> zero_reads;
  std::unordered_map<uint64_t, Cluster> by_value;
  for (const RegisterOp& op : history) {
    CHECK(op.invoked > 0 && op.invoked < op.returned, "an operation begins, and then it ends");
    if (!op.is_write) continue;
    if (op.value == kZeroValue) {
      zero_writes.push_back(&op);
      continue;
    }
    Cluster& cluster = by_value[op.value];
    CHECK(!cluster.write, "each write writes a value of its own");
    cluster.write = &op;
    cluster.add(op);
  }
  for (const RegisterOp& op : history) {
    if (op.is_write) continue;
    CHECK(op.returned != kNever, "a read without an answer says nothing");
    if (op.value == kZeroValue) {
      zero_reads.push_back(&op);
      continue;
    }
    const auto found = by_value.find(op.value);
    if (found == by_value.end()) return violation(ViolationKind::kNeverWritten, {&op});
    Cluster& cluster = found->second;
    if (op.returned < cluster.write->invoked) {
      return violation(ViolationKind::kReadBeforeWrite, {&op, cluster.write});
    }
    cluster.add(op);
    cluster.is_read = true;
  }

  std::vector<Cluster> zeros;  // each zero-write on its own: nobody knows its reads
  zeros.reserve(zero_writes.size());
  std::vector<const Cluster*> forward, backward, others;
  const auto sort_in = [&](const Cluster& cluster) {
    (cluster.is_forward() ? forward : backward).push_back(&cluster);
  };
  for (const auto& [value, cluster] : by_value) {
    // A write of unknown outcome that nobody saw may not have happened.
    if (cluster.f() == kNever) continue;
    sort_in(cluster);
    others.push_back(&cluster);
  }
  const bool is_initial_alone = zero_writes.size() == 1;
  for (const RegisterOp* write : zero_writes) {
    if (write->returned == kNever) continue;
    zeros.emplace_back().write = write;
    zeros.back().add(*write);
    if (is_initial_alone) {
      // Then zeros have one writer, and the exact test holds for them as well.
      for (const RegisterOp* read : zero_reads) zeros.back().add(*read);
    }
    sort_in(zeros.back());
  }
  // An order that does not depend on a hash table's, for the report.
  std::sort(backward.begin(), backward.end(),
            [](auto* a, auto* b) { return a->write->invoked < b->write->invoked; });
  if (auto found = check_zones(std::move(forward), backward)) return found;
  return check_zeros(zero_reads, std::move(zero_writes), std::move(others));
}

}  // namespace cairn::sim
