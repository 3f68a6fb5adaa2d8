#include "rpc/frame.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/rng.h"

namespace cairn::rpc {
namespace {

using Step = FrameReader::Step;

Buffer pattern(size_t size_bytes, uint8_t seed) {
  Buffer buffer = Buffer::allocate(size_bytes);
  for (size_t i = 0; i < size_bytes; ++i) {
    buffer.mutable_view()[i] = static_cast<std::byte>(seed + i * 7);
  }
  return buffer;
}

std::vector<std::byte> bytes_of_frame(OutgoingFrame frame, uint64_t call_id) {
  seal(frame, call_id, 250);
  std::vector<std::byte> bytes(frame.head.view().begin(), frame.head.view().end());
  for (const Buffer& part : frame.attachment) {
    bytes.insert(bytes.end(), part.view().begin(), part.view().end());
  }
  return bytes;
}

std::vector<std::byte> a_request(uint64_t call_id, size_t header_bytes, size_t attachment_bytes) {
  OutgoingFrame frame = make_frame(FrameKind::kRequest, pattern(header_bytes, 1).view());
  frame.prefix.method = wire::Method::kWriteChunk;
  const size_t half = attachment_bytes / 2;
  EXPECT_TRUE(
      attach(frame, {pattern(half, 2), Buffer(), pattern(attachment_bytes - half, 3)}, 32 * kMiB)
          .ok());
  return bytes_of_frame(std::move(frame), call_id);
}

/// After a change to the fields, so that the checksum is not what fails.
void reseal(std::vector<std::byte>& bytes) {
  auto prefix = load<FramePrefix>(bytes);
  prefix.prefix_crc32c = crc32c(ByteView(bytes).first(kPrefixBytes - 4));
  store(MutableByteView(bytes), prefix);
}

class FrameReaderTest : public testing::Test {
 protected:
  Error error_of(std::vector<std::byte> bytes) {
    FrameReader reader(pool_, {});
    ByteView view(bytes);
    EXPECT_EQ(reader.next(view), Step::kBroken);
    ByteView more(bytes);
    EXPECT_EQ(reader.next(more), Step::kBroken) << "a broken stream stays broken";
    EXPECT_EQ(pool_.lent_bytes(), 0u) << "a broken reader holds nothing";
    return reader.error();
  }
  BufferPool pool_;
};

TEST_F(FrameReaderTest, AFrameThatLiesWholeIsReadInPlaceAndItsAttachmentCopiedOnceAligned) {
  const auto bytes = a_request(77, 60, 8192);
  FrameReader reader(pool_, {});
  ByteView view(bytes);
  ASSERT_EQ(reader.next(view), Step::kFrame);
  const Frame& frame = reader.frame();
  EXPECT_EQ(frame.prefix.call_id, 77u);
  EXPECT_EQ(frame.prefix.budget_ms, 250u);
  EXPECT_EQ(frame.prefix.method, wire::Method::kWriteChunk);
  EXPECT_EQ(frame.header.data(), bytes.data() + kPrefixBytes);
  EXPECT_EQ(as_text(frame.attachment.view()), as_text(ByteView(bytes).subspan(kPrefixBytes + 60)));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(frame.attachment.data()) % kBlockBytes, 0u);
  EXPECT_TRUE(view.empty());
  EXPECT_TRUE(reader.between_frames());
}

TEST_F(FrameReaderTest, FramesSplitAnywhereComeOutTheSame) {
  std::vector<std::byte> stream;
  for (uint64_t id = 1; id <= 40; ++id) {
    const auto frame = a_request(id, id * 13 % 200, id % 3 == 0 ? 0 : id * 997 % 9000);
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  Rng rng(4711);
  for (int round = 0; round < 50; ++round) {
    FrameReader reader(pool_, {});
    uint64_t frames_count = 0;
    size_t offset = 0;
    while (offset < stream.size()) {
      const size_t most = round < 5 ? 1 + static_cast<size_t>(round) : 5000;
      const size_t part_bytes = std::min<size_t>(1 + rng.below(most), stream.size() - offset);
      const auto begin = stream.begin() + static_cast<ptrdiff_t>(offset);
      // Gone when the next part comes, as in a receive buffer: nothing may point into it then.
      std::vector<std::byte> received(begin, begin + static_cast<ptrdiff_t>(part_bytes));
      ByteView part(received);
      while (reader.next(part) == Step::kFrame) {
        ++frames_count;
        const Frame& frame = reader.frame();
        ASSERT_EQ(frame.prefix.call_id, frames_count);
        const auto expected =
            a_request(frames_count, frame.prefix.header_bytes, frame.prefix.attachment_bytes);
        const ByteView body = ByteView(expected).subspan(kPrefixBytes);
        ASSERT_EQ(as_text(frame.header), as_text(body.first(frame.header.size())));
        ASSERT_EQ(as_text(frame.attachment.view()), as_text(body.subspan(frame.header.size())));
      }
      ASSERT_TRUE(part.empty());
      std::ranges::fill(received, std::byte{0xee});
      offset += part_bytes;
    }
    EXPECT_EQ(frames_count, 40u);
    EXPECT_TRUE(reader.between_frames());
  }
}

TEST_F(FrameReaderTest, EveryFlippedBitIsNoticed) {
  const auto sound = a_request(9, 24, 40);
  for (size_t bit = 0; bit < sound.size() * 8; ++bit) {
    auto bytes = sound;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    FrameReader reader(pool_, {});
    ByteView view(bytes);
    ASSERT_EQ(reader.next(view), Step::kBroken) << "bit " << bit;
  }
}

TEST_F(FrameReaderTest, AHugeLengthIsRefusedBeforeAnythingIsAllocated) {
  for (const bool in_header : {true, false}) {
    auto bytes = a_request(1, 8, 0);
    auto prefix = load<FramePrefix>(bytes);
    (in_header ? prefix.header_bytes : prefix.attachment_bytes) = 0xfffffff0;
    store(MutableByteView(bytes), prefix);
    reseal(bytes);
    const Error why = error_of(bytes);
    EXPECT_EQ(why.code(), Errc::kProtocol);
    EXPECT_NE(why.message().find("4294967280"), std::string::npos) << why.message();
    EXPECT_EQ(pool_.idle_bytes(), 0u);
  }
}

TEST_F(FrameReaderTest, TheLimitItselfIsAllowedAndOneByteMoreIsNot) {
  const FrameLimits limits{.header_bytes_max = 100, .attachment_bytes_max = 1000};
  for (const size_t over : {0u, 1u}) {
    for (const bool in_header : {true, false}) {
      const auto bytes = a_request(1, 100 + (in_header ? over : 0), 1000 + (in_header ? 0 : over));
      FrameReader reader(pool_, limits);
      ByteView view(bytes);
      EXPECT_EQ(reader.next(view), over ? Step::kBroken : Step::kFrame);
    }
  }
}

TEST_F(FrameReaderTest, SaysWhatIsWrong) {
  const std::string_view http = "GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
  const Error garbage = error_of({as_bytes(http).begin(), as_bytes(http).end()});
  EXPECT_NE(garbage.message().find("not a Cairn frame"), std::string::npos);

  auto newer = a_request(1, 8, 0);
  newer[4] = std::byte{2};
  EXPECT_EQ(error_of(newer).code(), Errc::kUnsupported);

  for (const int kind : {0, kFrameKindMax + 1, 255}) {
    auto unknown = a_request(1, 8, 0);
    unknown[5] = static_cast<std::byte>(kind);
    reseal(unknown);
    EXPECT_NE(error_of(unknown).message().find("unknown frame kind"), std::string::npos);
  }

  auto header_damaged = a_request(1, 8, 8);
  header_damaged[kPrefixBytes] ^= std::byte{1};
  EXPECT_NE(error_of(header_damaged).message().find("header is damaged"), std::string::npos);
  auto attachment_damaged = a_request(1, 8, 8);
  attachment_damaged.back() ^= std::byte{1};
  EXPECT_NE(error_of(attachment_damaged).message().find("attachment is damaged"),
            std::string::npos);
}

TEST_F(FrameReaderTest, AnAttachmentOverTheBudgetIsThrownAwayAndTheStreamGoesOn) {
  ReceiveBudget budget(10'000);
  FrameReader reader(pool_, {}, &budget);
  const auto first = a_request(1, 16, 8000);
  ByteView view(first);
  ASSERT_EQ(reader.next(view), Step::kFrame);
  EXPECT_EQ(budget.used_bytes(), 8000u);
  auto hold = std::move(reader.frame().hold);

  const auto second = a_request(2, 16, 4000);
  view = second;
  ASSERT_EQ(reader.next(view), Step::kFrame);
  EXPECT_TRUE(reader.frame().attachment_refused);
  EXPECT_TRUE(reader.frame().attachment.empty());
  EXPECT_EQ(budget.used_bytes(), 8000u);

  hold = {};
  view = second;
  ASSERT_EQ(reader.next(view), Step::kFrame);
  EXPECT_FALSE(reader.frame().attachment_refused);
  EXPECT_EQ(reader.frame().attachment.size_bytes(), 4000u);
}

TEST_F(FrameReaderTest, NeedsNoMoreThanAFewBytesAtATimeForALargeAttachment) {
  const auto bytes = a_request(1, 100, 3 * kMiB + 5);
  FrameReader reader(pool_, {});
  size_t offset = 0;
  Step step = Step::kNeedMore;
  while (offset < bytes.size()) {
    ASSERT_EQ(step, Step::kNeedMore);
    const size_t part_bytes = std::min<size_t>(4096, bytes.size() - offset);
    ByteView part(bytes.data() + offset, part_bytes);
    step = reader.next(part);
    ASSERT_TRUE(part.empty()) << "nothing is left for the connection to keep";
    offset += part_bytes;
  }
  ASSERT_EQ(step, Step::kFrame);
  EXPECT_EQ(as_text(reader.frame().attachment.view()),
            as_text(ByteView(bytes).subspan(kPrefixBytes + 100)));
}

TEST(Frame, AnAttachmentOverTheLimitIsNotSent) {
  OutgoingFrame frame = make_frame(FrameKind::kRequest, {});
  const Status attached = attach(frame, {pattern(100, 1), pattern(101, 1)}, 200);
  EXPECT_EQ(attached.code(), Errc::kInvalidArgument);
}

TEST(Frame, ThePrefixOnTheWireIsAsDocumented) {
  OutgoingFrame frame = make_frame(FrameKind::kError, as_bytes("123456789"));
  frame.prefix.method = wire::Method::kReadChunk;
  const auto bytes = bytes_of_frame(std::move(frame), 0x0807060504030201);
  const std::vector<uint8_t> golden = {
      'C', 'R', 'N', '1', 1,    3,    16, 0,     // magic, version, kind, method
      1,   2,   3,   4,   5,    6,    7,  8,     // call id
      250, 0,   0,   0,   9,    0,    0,  0,     // budget, header bytes
      0,   0,   0,   0,   0x83, 0x92, 6,  0xe3,  // attachment bytes, crc of "123456789"
      0,   0,   0,   0};                         // crc of the attachment
  ASSERT_EQ(bytes.size(), kPrefixBytes + 9);
  EXPECT_EQ(std::memcmp(bytes.data(), golden.data(), golden.size()), 0);
  EXPECT_EQ(load<uint32_t>(ByteView(bytes).subspan(36)), crc32c(ByteView(bytes).first(36)));
}

TEST(Frame, AWatcherFindsWhereAFrameEnds) {
  const auto bytes = a_request(3, 10, 20);
  EXPECT_EQ(frame_bytes_at_front(ByteView(bytes).first(kPrefixBytes)), bytes.size());
  EXPECT_EQ(frame_bytes_at_front(ByteView(bytes).first(kPrefixBytes - 1)), 0u);
  EXPECT_EQ(frame_bytes_at_front(ByteView(bytes).subspan(1)), 0u);
}

TEST(Frame, ABudgetIsRoundedUpAndNeverZero) {
  const Instant now{5s};
  EXPECT_EQ(budget_ms_until(now + 1ns, now), 1u);
  EXPECT_EQ(budget_ms_until(now + 1ms, now), 1u);
  EXPECT_EQ(budget_ms_until(now + 1ms + 1ns, now), 2u);
  EXPECT_EQ(budget_ms_until(now - 1s, now), 1u);
  EXPECT_EQ(budget_ms_until(now + std::chrono::hours(24 * 365), now), 0xffffffffu);
}

}  // namespace
}  // namespace cairn::rpc
