/// A log's whole recovery on a disk: whatever stands in its segments, opening it ends, either
/// refuses and changes nothing, or gives a state that the next opening gives again and that takes
/// new entries.
///
/// Input: fuzz/wal_input.h.
/// Links: cairn_wal cairn_sim_io
#include "fuzz/wal_input.h"
#include "sim/io/world.h"
#include "store/wal/incarnation.h"
#include "store/wal/model.h"

namespace cairn::wal {
namespace {

constexpr size_t kSegmentsMax = 6;
constexpr uint64_t kNewGroup = 0x5eed;

class Quiet : public Listener {
 public:
  void on_durable(Lsn up_to) override { durable = up_to; }
  void on_failed(Error) override { check_failed("the log failed", __FILE__, __LINE__); }
  Lsn durable;
};

struct State {
  Model groups;
  std::map<uint64_t, bool> quarantined;
  bool operator==(const State&) const = default;
};

/// A file holds batches of its present life and of earlier ones, whose numbers are smaller. Those
/// of a greater number would come to life when the file is recycled under it; no log writes them.
void forget_the_future(MutableByteView segment, uint64_t sequence) {
  for (size_t at = 0; at + kBlockBytes <= segment.size(); at += kBlockBytes) {
    const MutableByteView block = segment.subspan(at, kBlockBytes);
    const bool is_batch = load<uint32_t>(block) == kBatchMagic;
    if (is_batch && load<BatchHeader>(block).sequence > sequence) {
      std::ranges::fill(block, std::byte{0});
    }
  }
}

class Trial {
 public:
  explicit Trial(Segments segments) {
    options_.segment_bytes = kSegmentBytesMin;
    write(segments);
  }
  ~Trial() { crash(); }
  void run();

 private:
  void write(Segments& segments) {
    CHECK(world_.run(host_, host_.disk().make_directory(options_.directory)).ok());
    for (size_t i = 0; i < std::min(segments.size(), kSegmentsMax); ++i) {
      segments[i].resize(std::max<size_t>(segments[i].size(), kSegmentBytesMin));
      forget_the_future(segments[i], i + 1);
      const std::string path = options_.directory + "/" + segment_name(i + 1);
      const Buffer content = Buffer::copy_of(ByteView(segments[i]));
      CHECK(world_.run(host_, io::replace_file(host_.disk(), path, content)).ok());
    }
  }
  Result<State> open() {
    listener_ = Quiet();
    std::vector<RecoveredGroup> recovered;
    auto opened =
        world_.run(host_, Wal::open(host_.env(), host_.disk(), options_, listener_, &recovered));
    if (!opened.ok()) return opened.error();
    wal_ = std::move(*opened);
    State state{.groups = model_of(recovered), .quarantined = {}};
    for (const RecoveredGroup& group : recovered) {
      state.quarantined[group.group.value()] = !group.quarantine_reason.empty();
    }
    return state;
  }
  void crash() {
    host_.crash(sim::CrashKind::kKill, [this] { wal_.reset(); });
    host_.boot();
  }
  void check_payloads(const State& state) {
    for (const auto& [id, group] : state.groups) {
      if (state.quarantined.at(id)) continue;
      for (const auto& [index, entry] : group.entries) {
        const auto payload = world_.run(host_, wal_->read_payload(GroupId(id), LogIndex(index)));
        CHECK(payload.ok() && payload->size_bytes() == entry.payload_bytes);
      }
    }
  }

  sim::World world_{1};
  sim::Host& host_ = world_.add_host("a");
  WalOptions options_;
  Quiet listener_;
  std::unique_ptr<Wal> wal_;
};

std::string describe(const Result<State>& state) {
  if (!state.ok()) return state.error().describe();
  std::string text;
  for (const auto& [id, group] : state->groups) {
    text += "group " + std::to_string(id) + (state->quarantined.at(id) ? " quarantined" : "") +
            ": term " + std::to_string(group.hard_state.term.value()) + " vote " +
            std::to_string(group.hard_state.vote) + " commit " +
            std::to_string(group.hard_state.commit.value()) + " snapshot " +
            std::to_string(group.snapshot ? group.snapshot->first : 0) + " entries";
    for (const auto& [index, entry] : group.entries) text += " " + std::to_string(index);
    text += "\n";
  }
  return text;
}

void check_same(const Result<State>& first, const Result<State>& second) {
  if (second.ok() && *second == *first) return;
  std::fprintf(stderr, "first:\n%ssecond:\n%s\n", describe(first).c_str(),
               describe(second).c_str());
  check_failed("what was recovered once is recovered again", __FILE__, __LINE__);
}

void Trial::run() {
  const auto before = host_.disk().hash();
  const auto first = open();
  if (!first.ok()) {
    CHECK(host_.disk().hash() == before, "a log that is refused is not changed");
    return;
  }
  check_payloads(*first);
  crash();
  const auto second = open();
  check_same(first, second);
  if (first->groups.contains(kNewGroup)) return;
  const bool had_gaps = !wal_->recovery().gaps.empty();
  host_.execute([this] {
    wal_->append_entry(GroupId(kNewGroup),
                       {.term = Term(1), .index = LogIndex(1), .head = Buffer::copy_of("new")});
  });
  CHECK(world_.run_until([this] { return listener_.durable == wal_->last_lsn(); },
                         std::chrono::minutes(1)));
  crash();
  const auto third = open();
  CHECK(third.ok() && third->groups.contains(kNewGroup), describe(third));
  // In a log with gaps whose oldest segment has lost its header and its first batch, what was
  // before it cannot be told from a gap once it has left: a new group may be blamed then, which is
  // safe.
  CHECK(had_gaps || !third->quarantined.at(kNewGroup), describe(third));
  CHECK(third->groups.size() == first->groups.size() + 1);
}

}  // namespace
}  // namespace cairn::wal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  wal::Trial(wal::segments_of({reinterpret_cast<const std::byte*>(data), size})).run();
  return 0;
}
