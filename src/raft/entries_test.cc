#include "raft/entries.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "base/rng.h"

namespace cairn::raft {
namespace {

Entry entry(uint64_t index) {
  return {.index = LogIndex(index), .head = Buffer::copy_of("e" + std::to_string(index))};
}

std::vector<uint64_t> indexes(const Entries& entries) {
  std::vector<uint64_t> result;
  for (const Entry& e : entries) {
    EXPECT_EQ(as_text(e.head.view()), "e" + std::to_string(e.index.value()));
    result.push_back(e.index.value());
  }
  return result;
}

Entries run(uint64_t first, uint64_t last) {
  Entries entries;
  for (uint64_t index = first; index <= last; ++index) entries.push_back(entry(index));
  return entries;
}

using Indexes = std::vector<uint64_t>;

TEST(Entries, CopiesAndSlicesShareTheBlock) {
  const Entries whole = run(1, 5);
  const Entries copy = whole;
  const Entries middle = whole.slice(1, 3);
  EXPECT_EQ(copy.data(), whole.data());
  EXPECT_EQ(middle.data(), whole.data() + 1);
  EXPECT_EQ(indexes(middle), (Indexes{2, 3, 4}));
  EXPECT_EQ(indexes(middle.slice(1, 2)), (Indexes{3, 4}));
  EXPECT_FALSE(whole.unique());
  EXPECT_EQ(whole.slice(2, 0).data(), nullptr);  // keeps nothing alive
}

TEST(Entries, AppendsInPlaceBehindWhatOthersSee) {
  Entries log = run(1, 3);
  const Entries handed_out = log.slice(1, 2);
  const Entry* before = log.data();
  log.push_back(entry(4));
  EXPECT_EQ(log.data(), before);
  EXPECT_EQ(indexes(log), (Indexes{1, 2, 3, 4}));
  EXPECT_EQ(indexes(handed_out), (Indexes{2, 3}));
}

TEST(Entries, ATailThatSomebodyElseSeesIsNotOverwritten) {
  Entries log = run(1, 3);
  const Entries handed_out = log;
  log.truncate(1);
  log.append(run(12, 13));
  EXPECT_EQ(indexes(log), (Indexes{1, 12, 13}));
  EXPECT_EQ(indexes(handed_out), (Indexes{1, 2, 3}));
  // Of two that end at the same place, the second to append moves away.
  Entries left = run(1, 1);
  Entries right = left;
  left.push_back(entry(2));
  right.push_back(entry(3));
  EXPECT_EQ(indexes(left), (Indexes{1, 2}));
  EXPECT_EQ(indexes(right), (Indexes{1, 3}));
}

TEST(Entries, ChangingSharedEntriesCopiesThemFirst) {
  Entries mine = run(1, 2);
  const Entry* before = mine.data();
  mine.mutable_view()[0].term = Term(7);
  EXPECT_EQ(mine.data(), before);  // nobody else looks
  const Entries theirs = mine;
  mine.mutable_view()[0].term = Term(8);
  EXPECT_EQ(theirs.front().term, Term(7));
  EXPECT_EQ(mine.front().term, Term(8));
}

TEST(Entries, ABufferIsReleasedWithTheLastReferenceOrWhenItsOnlyOwnerDropsIt) {
  BufferPool pool;
  Entries log = Entries::of({.head = pool.allocate(4096)});
  log.push_back({.head = pool.allocate(4096)});
  EXPECT_EQ(pool.lent_bytes(), 8192U);
  log.drop_front(1);
  EXPECT_EQ(pool.lent_bytes(), 4096U);  // at once: we are the only owner
  Entries reader = log;
  log.clear();
  EXPECT_EQ(pool.lent_bytes(), 4096U);
  reader.clear();
  EXPECT_EQ(pool.lent_bytes(), 0U);
}

TEST(Entries, AppendingAPartOfItselfIsSafe) {
  Entries log = run(1, 4);
  log.append(log.slice(1, 2));
  log.append(std::span(log.data(), 6));
  EXPECT_EQ(indexes(log), (Indexes{1, 2, 3, 4, 2, 3, 1, 2, 3, 4, 2, 3}));
}

TEST(Entries, ALogThatOnlyMovesForwardNeedsFewBlocks) {
  Entries log = run(1, 8);
  size_t blocks_count = 0;
  for (uint64_t index = 9; index < 1009; ++index) {
    const Entry* before = log.data();
    log.push_back(entry(index));
    if (log.data() != before) ++blocks_count;
    const Entries reader = log.slice(4, 5);
    log.drop_front(1);
    EXPECT_LE(log.capacity(), 2 * 9U);
  }
  EXPECT_LE(blocks_count, 1000 / 8U);
  EXPECT_EQ(log.size(), 8U);
}

TEST(Entries, MatchesADequeUnderRandomUseWhileReadersKeepWhatTheySaw) {
  Rng rng(3);
  Entries log;
  std::deque<uint64_t> model;
  std::vector<std::pair<Entries, Indexes>> readers;
  uint64_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t choice = rng.below(6);
    if (choice <= 1) {
      const uint64_t count = rng.between(1, 4);
      const Entries fresh = run(next, next + count - 1);
      log.append(fresh);
      for (uint64_t i = 0; i < count; ++i) model.push_back(next++);
    } else if (choice == 2 && !model.empty()) {
      const uint64_t kept = rng.below(model.size() + 1);
      log.truncate(kept);
      model.resize(kept);
    } else if (choice == 3 && !model.empty()) {
      const uint64_t dropped = rng.below(std::min<size_t>(model.size(), 3) + 1);
      log.drop_front(dropped);
      model.erase(model.begin(), model.begin() + static_cast<ptrdiff_t>(dropped));
    } else if (choice == 4) {
      const uint64_t offset = rng.below(model.size() + 1);
      const uint64_t count = rng.below(model.size() - offset + 1);
      const auto from = model.begin() + static_cast<ptrdiff_t>(offset);
      readers.emplace_back(log.slice(offset, count),
                           Indexes(from, from + static_cast<ptrdiff_t>(count)));
      if (readers.size() > 5) readers.erase(readers.begin());
    } else if (choice == 5 && !readers.empty() && rng.chance(0.2)) {
      auto& [reader, seen] = readers[rng.below(readers.size())];
      reader.push_back(entry(next));  // a reader may go its own way
      seen.push_back(next++);
    }
    ASSERT_EQ(indexes(log), Indexes(model.begin(), model.end()));
    for (const auto& [reader, seen] : readers) ASSERT_EQ(indexes(reader), seen);
  }
}

}  // namespace
}  // namespace cairn::raft
