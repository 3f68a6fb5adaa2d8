#include "multiraft/payload_cache.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::multiraft {
namespace {

PayloadCache::Note note(uint64_t index, uint32_t bytes) {
  return {.group = GroupId(1), .term = Term(1), .index = LogIndex(index), .payload_bytes = bytes};
}

TEST(PayloadCache, DropsTheOldestUntilTheRestFits) {
  PayloadCache cache(8192);
  for (uint64_t i = 1; i <= 4; ++i) cache.add(note(i, 4096));
  std::vector<uint64_t> dropped;
  cache.shrink([&](const PayloadCache::Note& n) {
    dropped.push_back(n.index.value());
    return true;
  });
  EXPECT_EQ(dropped, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(cache.cached_bytes(), 8192u);
}

TEST(PayloadCache, StopsAtThePayloadThatCannotGoYet) {
  PayloadCache cache(0);
  cache.add(note(1, 4096));
  cache.add(note(2, 4096));
  int asked = 0;
  cache.shrink([&](const PayloadCache::Note&) {
    ++asked;
    return false;
  });
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(cache.cached_bytes(), 8192u);
}

TEST(PayloadCache, EntriesWithoutPayloadCostNothing) {
  PayloadCache cache(0);
  cache.add(note(1, 0));
  cache.shrink([](const PayloadCache::Note&) {
    ADD_FAILURE() << "nothing was noted";
    return true;
  });
  EXPECT_EQ(cache.cached_bytes(), 0u);
}

}  // namespace
}  // namespace cairn::multiraft
