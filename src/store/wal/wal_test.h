/// A log on a simulated disk, for its tests: appends by turns, crashes, reading back, rot.
#pragma once

#include <gtest/gtest.h>

#include "sim/io/world.h"
#include "store/wal/format.h"
#include "store/wal/inspect.h"
#include "store/wal/model.h"

namespace cairn::wal {

class RecordingListener : public Listener {
 public:
  void on_durable(Lsn up_to) override { durable = up_to; }
  void on_failed(Error reason) override {
    ++failures;
    failure = reason.describe();
  }
  Lsn durable;
  int failures = 0;
  std::string failure;
};

class WalTest : public ::testing::Test {
 protected:
  WalTest() {
    options.segment_bytes = 256 * kKiB;
    options.wal_bytes_max = 8 * options.segment_bytes;
  }
  ~WalTest() override { crash(sim::CrashKind::kKill); }

  Result<Unit> try_open() {
    listener = RecordingListener();
    auto opened = world.run(host, Wal::open(host.env(), disk, options, listener, &recovered));
    if (!opened.ok()) return opened.error();
    wal = std::move(opened).value();
    return ok();
  }
  void open() {
    const auto opened = try_open();
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
  }
  void crash(sim::CrashKind kind = sim::CrashKind::kPowerLoss) {
    host.crash(kind, [this] { wal.reset(); });
    host.boot();
  }
  void close() {
    world.run(host, wal->stop());
    crash();
  }
  void reopen() {
    close();
    open();
  }
  /// Appends in one turn of the reactor.
  Lsn turn(const std::function<void()>& appends) {
    host.execute(appends);
    return wal->last_lsn();
  }
  void wait() {
    const Lsn target = wal->last_lsn();
    ASSERT_TRUE(
        world.run_until([&] { return listener.durable >= target; }, std::chrono::minutes(1)));
  }
  void entry(uint64_t group, uint64_t index, uint64_t term = 1, uint32_t payload_bytes = 4096) {
    advance_and_append(group, index, term, payload_bytes);
  }
  void entry_and_wait(uint64_t group, uint64_t index, uint32_t payload_bytes = 4096) {
    turn([&] { entry(group, index, 1, payload_bytes); });
    wait();
  }
  static ModelEntry content(uint64_t group, uint64_t index, uint64_t term, uint32_t bytes) {
    return {
        term, 7,
        "g" + std::to_string(group) + " i" + std::to_string(index) + " t" + std::to_string(term),
        bytes};
  }
  void advance_and_append(uint64_t group, uint64_t index, uint64_t term, uint32_t bytes) {
    ModelOperation operation;
    operation.group = group;
    operation.index = index;
    operation.entry = content(group, index, term, bytes);
    append(*wal, operation);
  }
  void mark(uint64_t group, uint64_t index, bool reset = false) {
    wal->append_snapshot(GroupId(group),
                         {.index = LogIndex(index), .term = Term(1), .data = Buffer::copy_of("m")},
                         reset);
  }
  void hard_state(uint64_t group, uint64_t term) {
    wal->append_hard_state(GroupId(group), {Term(term), 2, LogIndex(0)});
  }
  Result<Buffer> read(uint64_t group, uint64_t index) {
    return world.run(host, wal->read_payload(GroupId(group), LogIndex(index)));
  }
  void expect_payload(uint64_t group, uint64_t index, uint64_t term = 1, uint32_t bytes = 4096) {
    const auto payload = read(group, index);
    ASSERT_TRUE(payload.ok()) << payload.error().describe();
    EXPECT_TRUE(
        std::ranges::equal(payload->view(), payload_of(content(group, index, term, bytes)).view()));
  }
  const RecoveredGroup* group(uint64_t id) const {
    const auto at = std::ranges::find(recovered, GroupId(id), &RecoveredGroup::group);
    return at == recovered.end() ? nullptr : &*at;
  }
  std::string reason(uint64_t id) const {
    return group(id) ? group(id)->quarantine_reason : "absent";
  }
  std::string path(uint64_t sequence) const { return "wal/" + segment_name(sequence); }
  Buffer file(uint64_t sequence) {
    return world.run(host, io::read_file(disk, path(sequence), kSegmentBytesMax)).value();
  }
  /// Where the batch with this number stands in a segment.
  struct Found {
    uint64_t sequence = 0;
    uint64_t offset_bytes = 0;
    uint64_t descriptor_bytes = 0;
  };
  Found find_batch_with(uint64_t group, uint64_t index) {
    const auto names = world.run(host, disk.list("wal")).value();
    for (const auto& name : names) {
      const auto sequence = parse_segment_name(name);
      if (!sequence) continue;
      const Buffer bytes = file(*sequence);
      for (uint64_t at = kBlockBytes; at < bytes.size_bytes(); at += kBlockBytes) {
        const auto batch = decode_batch(bytes.view().subspan(at), *sequence, 0);
        if (!batch.ok()) continue;
        for (const auto& record : batch->records) {
          const bool is_it = record.header.is_entry() && record.header.group == group &&
                             record.header.index == index;
          if (is_it) return {*sequence, at, batch->header.descriptor_bytes};
        }
      }
    }
    ADD_FAILURE() << "no such entry on the disk";
    return {};
  }
  void rot(uint64_t sequence, uint64_t offset_bytes) {
    ASSERT_TRUE(disk.corrupt(path(sequence), offset_bytes, 3).ok());
  }
  void run_io(io::Task<Status> task) {
    const auto status = world.run(host, std::move(task));
    ASSERT_TRUE(status.ok()) << status.error().describe();
  }

  sim::World world{7};
  sim::Host& host = world.add_host("a");
  sim::SimDisk& disk = host.disk();
  WalOptions options;
  RecordingListener listener;
  std::unique_ptr<Wal> wal;
  std::vector<RecoveredGroup> recovered;
};

}  // namespace cairn::wal
