#include "sim/check/history.h"

#include <gtest/gtest.h>

namespace cairn::sim {
namespace {

std::vector<std::byte> stamped(uint64_t volume, uint64_t offset, size_t bytes, WriteStamp stamp) {
  std::vector<std::byte> data(bytes);
  stamp_cells(volume, offset, stamp, data);
  return data;
}

TEST(Cell, ASoundCellTellsItsWriterAndZerosTellNone) {
  std::string why;
  const auto cell = stamped(1, 512, 512, {3, 9});
  EXPECT_EQ(value_of_cell(1, 512, cell, &why), (WriteStamp{3, 9}.value()));
  const std::vector<std::byte> zeros(512);
  EXPECT_EQ(value_of_cell(1, 512, zeros, &why), kZeroValue);
}

TEST(Cell, TornAndMisplacedCellsAreNotSound) {
  std::string why;
  auto cell = stamped(1, 512, 512, {3, 9});
  EXPECT_EQ(value_of_cell(1, 1024, cell, &why), std::nullopt);
  EXPECT_NE(why.find("elsewhere"), std::string::npos);
  EXPECT_EQ(value_of_cell(2, 512, cell, &why), std::nullopt);
  std::fill(cell.begin() + 256, cell.end(), std::byte{0});
  EXPECT_EQ(value_of_cell(1, 512, cell, &why), std::nullopt);
  EXPECT_NE(why.find("two values"), std::string::npos);
}

TEST(History, AWriteOfManyBlocksIsCheckedBlockByBlock) {
  History history;
  history.add_volume(1, kBlockBytes);
  const auto write = history.begin_write(1, 0, 8192, {1, 1}, false);
  const auto read = history.begin_read(1, 0, 8192, 2);
  // The first block is there, the second not yet.
  auto data = stamped(1, 0, 4096, {1, 1});
  data.resize(8192);
  history.end_read(read, data);
  history.end_write(write);
  EXPECT_EQ(history.check(), std::nullopt);
  const auto late = history.begin_read(1, 4096, 4096, 2);
  history.end_read(late, std::vector<std::byte>(4096));
  const auto found = history.check();
  ASSERT_TRUE(found);
  EXPECT_NE(found->find("volume 1 at 4096"), std::string::npos) << *found;
}

TEST(History, ABlockOfTwoWritesIsAViolationWhereWritesAreWholeBlocks) {
  for (const bool by_block : {true, false}) {
    History history;
    history.add_volume(1, by_block ? kBlockBytes : kCellBytes);
    const auto first = history.begin_write(1, 0, 4096, {1, 1}, false);
    const auto second = history.begin_write(1, 0, 4096, {2, 1}, false);
    const auto read = history.begin_read(1, 0, 4096, 3);
    auto data = stamped(1, 0, 2048, {1, 1});
    const auto rest = stamped(1, 2048, 2048, {2, 1});
    data.insert(data.end(), rest.begin(), rest.end());
    history.end_read(read, data);
    history.end_write(first);
    history.end_write(second);
    EXPECT_EQ(history.check().has_value(), by_block);
  }
}

TEST(History, AnUnacknowledgedWriteMayOrMayNotBeThere) {
  History history;
  history.add_volume(1, kBlockBytes);
  history.begin_write(1, 0, 4096, {1, 1}, false);
  history.end_read(history.begin_read(1, 0, 4096, 2), std::vector<std::byte>(4096));
  history.end_read(history.begin_read(1, 0, 4096, 2), stamped(1, 0, 4096, {1, 1}));
  EXPECT_EQ(history.check(), std::nullopt);
  history.end_read(history.begin_read(1, 0, 4096, 2), std::vector<std::byte>(4096));
  EXPECT_TRUE(history.check());
}

TEST(History, ALostAcknowledgedWriteIsFound) {
  History history;
  history.add_volume(1, kBlockBytes);
  history.end_write(history.begin_write(1, 0, 4096, {1, 1}, false));
  history.end_write(history.begin_write(1, 0, 4096, {1, 2}, false));
  history.end_read(history.begin_read(1, 0, 4096, 2), stamped(1, 0, 4096, {1, 1}));
  EXPECT_TRUE(history.check());
}

TEST(History, AShortReadIsAViolation) {
  History history;
  history.add_volume(1, kCellBytes);
  history.end_read(history.begin_read(1, 0, 1024, 2), std::vector<std::byte>(512));
  EXPECT_TRUE(history.check());
}

}  // namespace
}  // namespace cairn::sim
