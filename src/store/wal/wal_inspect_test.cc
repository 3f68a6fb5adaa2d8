// The inspector: what it shows, what it finds wrong, and that it changes nothing.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "store/wal/incarnation.h"
#include "store/wal/wal_test.h"

namespace cairn::wal {
namespace {

class WalInspect : public WalTest {
 protected:
  /// The lines of an inspection that ends well.
  std::vector<std::string> show(InspectOptions inspect_options) {
    std::vector<std::string> lines;
    const auto print = [&](std::string_view line) { lines.emplace_back(line); };
    const auto summary =
        world.run(host, inspect(host.env(), disk, std::move(inspect_options), print));
    EXPECT_TRUE(summary.ok()) << summary.error().describe();
    return lines;
  }
  std::vector<std::string> records(RecordFilter only) {
    auto lines = show({.only = only});
    std::erase_if(lines, [](const std::string& line) { return !line.starts_with("record "); });
    return lines;
  }
};

TEST_F(WalInspect, TheInspectorShowsWhatIsThereAndChangesNothing) {
  open();
  turn([&] {
    hard_state(1, 3);
    entry(1, 1);
    entry(2, 1);
    mark(2, 1);
  });
  wait();
  close();
  const uint64_t hash = disk.hash();
  std::vector<std::string> lines;
  const auto print = [&](std::string_view line) { lines.emplace_back(line); };
  const auto summary = world.run(host, inspect(host.env(), disk, {}, print));
  ASSERT_TRUE(summary.ok()) << summary.error().describe();
  EXPECT_EQ(disk.hash(), hash);
  EXPECT_EQ(summary->problems_count, 0u);
  EXPECT_EQ(summary->groups_count, 2u);
  EXPECT_EQ(summary->records_count, 4u);
  const auto has = [&](std::string_view part) {
    return std::ranges::any_of(
        lines, [&](const std::string& line) { return line.find(part) != std::string::npos; });
  };
  EXPECT_TRUE(has("record kind=hard_state group=1 term=3 vote=2 commit=0"));
  EXPECT_TRUE(has("record kind=entry group=2 index=1 term=1 type=7 payload_bytes=4096"));
  EXPECT_TRUE(has("group group=2 term=0 vote=0 commit=0 snapshot_index=1"));

  lines.clear();
  const InspectOptions only{.only = {.group = GroupId(2)}, .json = true};
  ASSERT_TRUE(world.run(host, inspect(host.env(), disk, only, print)).ok());
  EXPECT_FALSE(has("\"group\":1,"));
  EXPECT_TRUE(has("{\"what\":\"record\",\"kind\":\"snapshot\",\"group\":2,\"index\":1,"));
  for (const auto& line : lines) EXPECT_TRUE(line.starts_with("{") && line.ends_with("}")) << line;
}

TEST_F(WalInspect, TheInspectorCountsProblems) {
  open();
  for (uint64_t i = 1; i <= 3; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 2);
  close();
  rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes);
  std::string text;
  const auto print = [&](std::string_view line) { text += std::string(line) + "\n"; };
  const auto summary = world.run(host, inspect(host.env(), disk, {.directory = "wal"}, print));
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->problems_count, 2u);
  EXPECT_NE(text.find("damage=payload_is_rotten"), std::string::npos) << text;
  EXPECT_NE(text.find("quarantine=the payload of entry 2"), std::string::npos) << text;
  EXPECT_EQ(world.run(host, inspect(host.env(), disk, {.directory = "nowhere"}, print)).code(),
            Errc::kNotFound);
}

TEST_F(WalInspect, FiltersByGroupKindIndexAndSegment) {
  open();
  for (uint64_t i = 1; i <= 40; ++i) {
    turn([&] {
      hard_state(1, i);
      entry(1, i, i, 16384);
      entry(2, i, i, 0);
    });
    wait();
  }
  turn([&] { mark(1, 20); });
  wait();
  const auto place = find_batch_with(1, 40);
  close();
  ASSERT_GT(place.sequence, 1u);
  EXPECT_EQ(records({}).size(), 121u);
  EXPECT_EQ(records({.group = GroupId(2)}).size(), 40u);
  EXPECT_EQ(records({.kind = RecordKind::kHardState}).size(), 40u);
  EXPECT_EQ(records({.index_from = 39}).size(), 4u);
  EXPECT_EQ(records({.group = GroupId(1), .index_from = 19, .index_to = 21}).size(), 4u)
      << "three entries and the mark; a hard state has no index";
  const auto last = records({.group = GroupId(1), .index_from = 40, .segment = place.sequence});
  ASSERT_EQ(last.size(), 1u);
  EXPECT_NE(last[0].find(" segment=" + std::to_string(place.sequence) + " batch="),
            std::string::npos);
  EXPECT_TRUE(records({.index_from = 40, .segment = 1}).empty());
  for (uint8_t kind = 1; kind <= 7; ++kind) {
    EXPECT_EQ(parse_record_kind(to_string(RecordKind{kind})), RecordKind{kind});
  }
  EXPECT_FALSE(parse_record_kind("nonsense"));
}

TEST_F(WalInspect, DamageIsCountedWhateverIsShown) {
  open();
  for (uint64_t i = 1; i <= 3; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 2);
  close();
  rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes);
  std::string text;
  const auto print = [&](std::string_view line) { text += std::string(line) + "\n"; };
  const auto summary = world.run(
      host, inspect(host.env(), disk, {.only = {.group = GroupId(7)}, .batches = false}, print));
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->problems_count, 2u);
  EXPECT_EQ(text.find("group=1"), std::string::npos) << text;
}

/// The directory that testdata/ holds, a segment of version 1, and what is said about it.
TEST_F(WalInspect, TheGoldenSegmentIsShownAsEver) {
  const auto folder = std::filesystem::path(__FILE__).parent_path() / "testdata";
  std::ifstream segment(folder / "segment_v1.bin", std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(segment)), {});
  ASSERT_FALSE(content.empty());
  content.resize(kSegmentBytesMin);  // the golden file ends with its last batch
  run_io(disk.make_directory("wal"));
  run_io(io::replace_file(disk, path(7), Buffer::copy_of(content)));
  run_io(save_incarnation(disk, "wal", {.token = 0x1122334455667788, .owner = 3}));
  std::string shown;
  for (const bool json : {false, true}) {
    for (const auto& line : show({.json = json})) shown += line + "\n";
  }
  if (std::getenv("CAIRN_WRITE_GOLDEN")) std::ofstream(folder / "inspect_v1.txt") << shown;
  std::ifstream golden(folder / "inspect_v1.txt");
  EXPECT_EQ(shown, std::string((std::istreambuf_iterator<char>(golden)), {}));
}

}  // namespace
}  // namespace cairn::wal
