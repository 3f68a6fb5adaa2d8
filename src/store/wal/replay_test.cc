// The rules of docs/formats/wal.md, "Reading it back", on batches made by hand.
#include "store/wal/replay.h"

#include <gtest/gtest.h>

namespace cairn::wal {
namespace {

/// Builds a log batch by batch; each may be damaged before it is replayed.
class WalReplay : public ::testing::Test {
 protected:
  struct Made {
    BatchHeader header;
    std::vector<RecordView> records;
    bool is_missing = false;
    bool is_torn = false;
  };

  Made& batch(std::vector<RecordHeader> records, uint64_t durable_up_to) {
    Made made;
    made.header.sequence = sequence_;
    made.header.number = number_++;
    made.header.previous_hash = hash_;
    made.header.durable_up_to = durable_up_to;
    made.header.oldest_sequence = 1;
    made.header.descriptor_bytes = kBlockBytes;
    made.header.crc = static_cast<uint32_t>(made.header.number * 7919);
    for (const RecordHeader& record : records) made.records.push_back({record, {}, kBlockBytes});
    hash_ = hash_of(made.header);
    made_.push_back(made);
    return made_.back();
  }
  void next_segment(uint64_t number = 0) {
    ++sequence_;
    if (number != 0) number_ = number;
  }

  Replay replay() {
    uint64_t durable = 0;
    for (const Made& made : made_) {
      if (!made.is_missing) durable = std::max(durable, made.header.durable_up_to);
    }
    Replay replay(durable);
    for (uint64_t sequence = 1; sequence <= sequence_; ++sequence) {
      SegmentScan scan{.sequence = sequence, .file_bytes = kSegmentBytesMin};
      uint64_t offset = kBlockBytes;
      uint64_t limit = UINT64_MAX;
      for (const Made& made : made_) {
        if (made.header.sequence > sequence) limit = std::min(limit, made.header.number);
        if (made.header.sequence != sequence) continue;
        if (!scan.header) scan.header = SegmentHeader{.first_batch = made.header.number};
        if (scan.batches.empty() && scan.header->previous_hash == 0) {
          scan.header->previous_hash = made.header.previous_hash;
        }
        offset += kBlockBytes;
        if (made.is_missing) continue;
        ScannedBatch found{.offset_bytes = offset - kBlockBytes,
                           .view = {made.header, made.records}};
        if (made.is_torn) found.damaged.push_back(0);
        scan.batches.push_back(found);
      }
      if (claimed_first_ != 0 && sequence == 1) scan.header->first_batch = claimed_first_;
      if (!is_gone_[sequence]) replay.add_segment(scan, limit);
    }
    replay.finish(kSegmentBytesMin);
    return replay;
  }
  static RecordHeader entry(uint64_t group, uint64_t index, uint64_t term = 1) {
    return {.kind = RecordKind::kEntry,
            .group = group,
            .index = index,
            .term = term,
            .payload_bytes = kBlockBytes};
  }
  static RecordHeader moved(uint64_t group, uint64_t index, uint64_t term = 1) {
    auto record = entry(group, index, term);
    record.kind = RecordKind::kMovedEntry;
    return record;
  }
  static RecordHeader of(RecordKind kind, uint64_t group, uint64_t index = 0) {
    return {.kind = kind, .group = group, .index = index, .term = 1};
  }
  static std::vector<uint64_t> indexes(const Replay& replay, uint64_t group) {
    std::vector<uint64_t> found;
    for (const auto& [index, entry] : replay.groups().at(group).entries) found.push_back(index);
    return found;
  }

  std::deque<Made> made_;
  std::map<uint64_t, bool> is_gone_;
  uint64_t claimed_first_ = 0;  ///< what the first segment's header says; 0: the truth
  uint64_t sequence_ = 1;
  uint64_t number_ = 1;
  uint64_t hash_ = 0;
};
using Indexes = std::vector<uint64_t>;

TEST_F(WalReplay, ATornBatchBeyondTheMarkEndsTheLogAndWhatIsBehindIt) {
  batch({entry(1, 1)}, 0);
  batch({entry(1, 2)}, 1).is_torn = true;
  batch({entry(2, 1)}, 1);
  const Replay replayed = replay();
  EXPECT_EQ(indexes(replayed, 1), Indexes{1});
  EXPECT_FALSE(replayed.groups().contains(2));
  EXPECT_TRUE(replayed.gaps().empty());
  EXPECT_EQ(replayed.batches_cut(), 2u);
  EXPECT_EQ(replayed.last_batch(), 1u);
}

TEST_F(WalReplay, AHeaderThatClaimsToBeginBehindLaterSegmentsHidesNoGap) {
  batch({entry(1, 1)}, 0).is_missing = true;
  batch({entry(1, 2)}, 1).is_missing = true;
  next_segment();
  batch({moved(1, 2)}, 2);
  batch({}, 3);
  claimed_first_ = 1000;
  const Replay replayed = replay();
  EXPECT_EQ(replayed.gaps().size(), 1u);
  EXPECT_NE(replayed.groups().at(1).quarantine_reason, "");
}

TEST_F(WalReplay, ATornBatchUnderTheMarkIsRotOfItsRecord) {
  batch({entry(1, 1), entry(2, 1)}, 0).is_torn = true;
  batch({entry(1, 2)}, 1);
  const Replay replayed = replay();
  EXPECT_NE(replayed.groups().at(1).quarantine_reason, "");
  EXPECT_EQ(replayed.groups().at(2).quarantine_reason, "");
}

TEST_F(WalReplay, AMissingBatchUnderTheMarkIsAGapEvenAtTheEnd) {
  batch({entry(1, 1)}, 0);
  batch({entry(1, 2)}, 1).is_missing = true;
  batch({entry(1, 3)}, 2).is_torn = true;  // itself discarded, but its mark counts
  const Replay replayed = replay();
  ASSERT_EQ(replayed.gaps().size(), 1u);
  EXPECT_EQ(replayed.gaps()[0].first_missing, 2u);
  EXPECT_NE(replayed.groups().at(1).quarantine_reason, "");
}

TEST_F(WalReplay, AGapThatReachesBeyondTheMarkEndsTheLog) {
  batch({entry(1, 1)}, 0);
  batch({entry(1, 2)}, 1).is_missing = true;
  batch({entry(1, 3)}, 1).is_missing = true;
  batch({entry(2, 1)}, 2);
  const Replay replayed = replay();
  EXPECT_EQ(replayed.gaps().size(), 1u);
  EXPECT_FALSE(replayed.groups().contains(2)) << "batch 3 was never acknowledged: nor was 4";
}

TEST_F(WalReplay, AWrongPredecessorUnderTheMarkIsAGap) {
  batch({entry(1, 1)}, 0);
  batch({entry(1, 2)}, 1).header.previous_hash ^= 1;
  hash_ = hash_of(made_.back().header);
  batch({entry(1, 3)}, 2);
  EXPECT_EQ(replay().gaps().size(), 1u);
}

TEST_F(WalReplay, WhatAnEarlierRecoveryDiscardedStaysDiscarded) {
  batch({entry(1, 1)}, 0);
  const uint64_t hash = hash_;
  batch({entry(1, 2, 9)}, 1);  // whole now, but torn when the log was cut behind batch 1
  next_segment(2);
  hash_ = hash;
  batch({entry(1, 2, 5)}, 1);
  const Replay replayed = replay();
  EXPECT_EQ(replayed.groups().at(1).entries.at(2).header.term, 5u);
  EXPECT_TRUE(replayed.gaps().empty());
}

TEST_F(WalReplay, AKnownGapBlamesNobodyAgain) {
  batch({entry(1, 1)}, 0);
  batch({entry(1, 2)}, 1).is_missing = true;
  batch({entry(1, 3)}, 2);
  auto known = of(RecordKind::kKnownGap, 0, 2);
  known.term = 2;
  batch({of(RecordKind::kQuarantine, 1), known}, 3);
  batch({entry(2, 1)}, 4);
  const Replay replayed = replay();
  EXPECT_EQ(replayed.groups().at(2).quarantine_reason, "");
  ASSERT_EQ(replayed.gaps().size(), 1u);
  EXPECT_TRUE(replayed.gaps()[0].is_known);
}

TEST_F(WalReplay, AGroupThatWasRemovedAndMadeAgainBehindAGapIsSound) {
  batch({entry(1, 1)}, 0);
  batch({}, 1).is_missing = true;
  batch({of(RecordKind::kRemoveGroup, 1), entry(1, 1)}, 2);
  EXPECT_EQ(replay().groups().at(1).quarantine_reason, "");
}

TEST_F(WalReplay, MovedEntriesFillInWhatHasLeftTheLogAndNeverEndIt) {
  batch({entry(1, 1), entry(1, 2)}, 0);
  next_segment();
  batch({entry(1, 3), entry(1, 4)}, 1);
  next_segment();
  batch({moved(1, 1), moved(1, 2)}, 2).header.oldest_sequence = 2;
  EXPECT_EQ(indexes(replay(), 1), (Indexes{1, 2, 3, 4}));
  is_gone_[1] = true;
  const Replay replayed = replay();
  EXPECT_EQ(indexes(replayed, 1), (Indexes{1, 2, 3, 4}));
  EXPECT_TRUE(replayed.gaps().empty());
  EXPECT_EQ(replayed.groups().at(1).quarantine_reason, "");
}

TEST_F(WalReplay, ATruncationBehindAMoveEndsWhatWasMoved) {
  batch({entry(1, 1), entry(1, 2)}, 0);
  next_segment();
  batch({moved(1, 1), moved(1, 2)}, 1).header.oldest_sequence = 2;
  batch({entry(1, 2, 7)}, 2);
  is_gone_[1] = true;
  const Replay replayed = replay();
  EXPECT_EQ(indexes(replayed, 1), (Indexes{1, 2}));
  EXPECT_EQ(replayed.groups().at(1).entries.at(2).header.term, 7u);
}

TEST_F(WalReplay, AMissingSegmentThatWasToStayIsAGap) {
  batch({entry(1, 1)}, 0);
  next_segment();
  batch({entry(1, 2)}, 1);
  is_gone_[1] = true;
  const Replay replayed = replay();
  EXPECT_EQ(replayed.gaps().size(), 1u);
  EXPECT_NE(replayed.groups().at(1).quarantine_reason, "");
}

TEST_F(WalReplay, EntriesWithAHoleQuarantineTheirGroup) {
  batch({entry(1, 1), entry(1, 3), entry(2, 1)}, 0);
  batch({}, 1);
  const Replay replayed = replay();
  EXPECT_NE(replayed.groups().at(1).quarantine_reason.find("entries 2 to 2"), std::string::npos);
  EXPECT_EQ(replayed.groups().at(2).quarantine_reason, "");
}

}  // namespace
}  // namespace cairn::wal
