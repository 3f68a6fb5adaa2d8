/// Frames of RPC: whatever the bytes and however they are cut into parts, the reader gives the same
/// frames and the same end, holds nothing afterwards, and a frame that it takes for sound is one.
///
/// Input: a byte of flags (1: make the checksums right first, else nearly every mutation would end
/// at the first of them), a byte that seeds the cuts, then the stream.
/// Links: cairn_rpc
#include <optional>
#include <vector>

#include "base/crc32c.h"
#include "base/rng.h"
#include "rpc/message.h"

namespace cairn::rpc {
namespace {

constexpr FrameLimits kLimits{.header_bytes_max = 4 * kKiB, .attachment_bytes_max = 64 * kKiB};
constexpr size_t kBudgetBytes = 48 * kKiB;  // below the limit: some attachments are refused

struct Outcome {
  std::vector<FramePrefix> prefixes;
  uint32_t content_crc32c = 0;
  std::optional<std::string> broken;
  bool between_frames = false;
};

void repair(std::vector<std::byte>& stream) {
  size_t offset = 0;
  while (stream.size() - offset >= kPrefixBytes) {
    const MutableByteView rest = MutableByteView(stream).subspan(offset);
    auto prefix = load<FramePrefix>(rest);
    prefix.magic = kFrameMagic;
    prefix.version = kFrameVersion;
    const uint64_t body_bytes = uint64_t{prefix.header_bytes} + prefix.attachment_bytes;
    const bool is_whole = body_bytes <= rest.size() - kPrefixBytes;
    if (is_whole) {
      const ByteView body = rest.subspan(kPrefixBytes, body_bytes);
      prefix.header_crc32c = crc32c(body.first(prefix.header_bytes));
      prefix.attachment_crc32c = crc32c(body.subspan(prefix.header_bytes));
    }
    prefix.prefix_crc32c = crc32c(bytes_of(prefix).first(kPrefixBytes - sizeof(uint32_t)));
    store(rest, prefix);
    if (!is_whole) return;
    offset += kPrefixBytes + body_bytes;
  }
}

/// What is sound has to be what its author would have sent.
void check_frame(const Frame& frame) {
  OutgoingFrame again = make_frame(frame.prefix.kind, frame.header);
  again.prefix.method = frame.prefix.method;
  if (!frame.attachment_refused) {
    std::vector<Buffer> parts{frame.attachment};
    CHECK(attach(again, std::move(parts), kLimits.attachment_bytes_max).ok());
  } else {
    again.prefix.attachment_bytes = frame.prefix.attachment_bytes;
    again.prefix.attachment_crc32c = frame.prefix.attachment_crc32c;
  }
  seal(again, frame.prefix.call_id, frame.prefix.budget_ms);
  CHECK(std::ranges::equal(again.head.view().first(kPrefixBytes), bytes_of(frame.prefix)));
  if (frame.prefix.kind == FrameKind::kError) CHECK(decode_error(frame.header).code() != Errc::kOk);
}

/// `cuts` null: all bytes at once.
Outcome read_all(ByteView stream, Rng* cuts) {
  BufferPool pool;
  Outcome outcome;
  {
    ReceiveBudget budget(kBudgetBytes);
    FrameReader reader(pool, kLimits, &budget);
    while (!stream.empty() && !outcome.broken) {
      const size_t part_bytes =
          cuts ? std::min<size_t>(1 + cuts->below(100), stream.size()) : stream.size();
      // Gone when the next part comes, as in a receive buffer: nothing may point into it then.
      const std::vector<std::byte> received(stream.begin(), stream.begin() + part_bytes);
      ByteView part = received;
      FrameReader::Step step;
      while ((step = reader.next(part)) == FrameReader::Step::kFrame) {
        Frame& frame = reader.frame();
        check_frame(frame);
        outcome.prefixes.push_back(frame.prefix);
        outcome.content_crc32c = crc32c(frame.header, outcome.content_crc32c);
        outcome.content_crc32c = crc32c(frame.attachment.view(), outcome.content_crc32c);
      }
      if (step == FrameReader::Step::kBroken) {
        outcome.broken = reader.error().describe();
        CHECK(pool.lent_bytes() == 0 && budget.used_bytes() == 0);
      } else {
        CHECK(part.empty(), "bytes were left behind");
      }
      stream = stream.subspan(part_bytes);
    }
    outcome.between_frames = reader.between_frames();
    CHECK(pool.lent_bytes() <= 64 * kKiB, "more is held than one attachment");
  }
  CHECK(pool.lent_bytes() == 0);
  return outcome;
}

void run(ByteView input) {
  if (input.size() < 2) return;
  const bool repairs = (std::to_integer<int>(input[0]) & 1) != 0;
  Rng cuts(std::to_integer<uint64_t>(input[1]));
  std::vector<std::byte> stream(input.begin() + 2, input.end());
  if (repairs) repair(stream);
  const Outcome whole = read_all(stream, nullptr);
  const Outcome parts = read_all(stream, &cuts);
  CHECK(whole.prefixes.size() == parts.prefixes.size());
  CHECK(whole.content_crc32c == parts.content_crc32c);
  CHECK(whole.broken == parts.broken && whole.between_frames == parts.between_frames);
  for (size_t i = 0; i < whole.prefixes.size(); ++i) {
    CHECK(std::ranges::equal(bytes_of(whole.prefixes[i]), bytes_of(parts.prefixes[i])));
  }
}

}  // namespace
}  // namespace cairn::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::rpc::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
