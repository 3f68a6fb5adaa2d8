#include "rpc/frame.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "base/crc32c.h"
#include "io/network.h"

namespace cairn::rpc {

namespace {

/// The pool's largest buffer: a limit above it could not be kept.
constexpr uint32_t kAttachmentBytesCeiling = 64 * kMiB;
constexpr size_t kPrefixCheckedBytes = kPrefixBytes - sizeof(uint32_t);

uint32_t prefix_checksum(const FramePrefix& prefix) {
  return crc32c(bytes_of(prefix).first(kPrefixCheckedBytes));
}

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08x", value);
  return text;
}

/// Moves bytes from the front of `bytes` to `into`, as many as fit.
size_t move_front(ByteView& bytes, MutableByteView into) {
  const size_t count = std::min(bytes.size(), into.size());
  if (count > 0) std::memcpy(into.data(), bytes.data(), count);
  bytes = bytes.subspan(count);
  return count;
}

}  // namespace

std::string_view to_string(FrameKind kind) {
  switch (kind) {
    case FrameKind::kRequest:
      return "request";
    case FrameKind::kResponse:
      return "response";
    case FrameKind::kError:
      return "error";
    case FrameKind::kOneWay:
      return "one-way";
    case FrameKind::kPing:
      return "ping";
    case FrameKind::kPong:
      return "pong";
    case FrameKind::kChallenge:
      return "challenge";
    case FrameKind::kProof:
      return "proof";
    case FrameKind::kWelcome:
      return "welcome";
  }
  return "unknown";
}

FrameReader::FrameReader(BufferPool& buffers, FrameLimits limits, ReceiveBudget* budget)
    : buffers_(buffers), limits_(limits), budget_(budget) {
  set_limits(limits);
}

void FrameReader::set_limits(FrameLimits limits) {
  CHECK(limits.attachment_bytes_max <= kAttachmentBytesCeiling);
  limits_ = limits;
}

FrameReader::Step FrameReader::next(ByteView& bytes) {
  // Each stage either completes (true) or has consumed everything or has failed (false).
  if (stage_ == Stage::kPrefix && !take_prefix(bytes)) {
    return stage_ == Stage::kBroken ? Step::kBroken : Step::kNeedMore;
  }
  if (stage_ == Stage::kHeader && !take_header(bytes)) {
    return stage_ == Stage::kBroken ? Step::kBroken : Step::kNeedMore;
  }
  if (stage_ == Stage::kAttachment && !take_attachment(bytes)) {
    return stage_ == Stage::kBroken ? Step::kBroken : Step::kNeedMore;
  }
  if (stage_ == Stage::kBroken) return Step::kBroken;
  stage_ = Stage::kPrefix;
  gathered_bytes_ = 0;
  return Step::kFrame;
}

bool FrameReader::take_prefix(ByteView& bytes) {
  FramePrefix prefix;
  if (gathered_bytes_ == 0 && bytes.size() >= kPrefixBytes) {
    prefix = load<FramePrefix>(bytes);
    bytes = bytes.subspan(kPrefixBytes);
  } else {
    const MutableByteView rest = MutableByteView(prefix_).subspan(gathered_bytes_);
    gathered_bytes_ += move_front(bytes, rest);
    if (gathered_bytes_ < kPrefixBytes) return false;
    prefix = load<FramePrefix>(prefix_);
  }
  if (!check_prefix(prefix)) return false;
  frame_ = Frame{};
  frame_.prefix = prefix;
  header_ = Buffer();
  gathered_bytes_ = 0;
  stage_ = Stage::kHeader;
  return true;
}

bool FrameReader::check_prefix(const FramePrefix& prefix) {
  if (prefix.magic != kFrameMagic) {
    return fail(Errc::kProtocol, "not a Cairn frame: it begins with " + hex(prefix.magic) +
                                     " instead of " + hex(kFrameMagic));
  }
  if (prefix.version != kFrameVersion) {
    return fail(Errc::kUnsupported, "frame version " + std::to_string(prefix.version) +
                                        ", this side speaks " + std::to_string(kFrameVersion));
  }
  if (prefix.prefix_crc32c != prefix_checksum(prefix)) {
    return fail(Errc::kProtocol, "a frame's prefix is damaged: checksum mismatch");
  }
  const auto kind = static_cast<uint8_t>(prefix.kind);
  if (kind == 0 || kind > kFrameKindMax) {
    return fail(Errc::kProtocol, "unknown frame kind " + std::to_string(kind));
  }
  if (prefix.header_bytes > limits_.header_bytes_max) {
    return fail(Errc::kProtocol, "a header of " + std::to_string(prefix.header_bytes) +
                                     " bytes, the limit is " +
                                     std::to_string(limits_.header_bytes_max));
  }
  if (prefix.attachment_bytes > limits_.attachment_bytes_max) {
    return fail(Errc::kProtocol, "an attachment of " + std::to_string(prefix.attachment_bytes) +
                                     " bytes, the limit is " +
                                     std::to_string(limits_.attachment_bytes_max));
  }
  return true;
}

bool FrameReader::take_header(ByteView& bytes) {
  const size_t header_bytes = frame_.prefix.header_bytes;
  const size_t rest_bytes = header_bytes + frame_.prefix.attachment_bytes;
  if (gathered_bytes_ == 0 && bytes.size() >= rest_bytes) {
    // The whole frame is here, so the header can stay where it lies.
    frame_.header = bytes.first(header_bytes);
    bytes = bytes.subspan(header_bytes);
  } else {
    if (header_.size_bytes() != header_bytes) header_ = Buffer::allocate(header_bytes);
    if (header_bytes > 0) {
      gathered_bytes_ += move_front(bytes, header_.mutable_view().subspan(gathered_bytes_));
    }
    if (gathered_bytes_ < header_bytes) return false;
    frame_.header = header_.view();
  }
  if (crc32c(frame_.header) != frame_.prefix.header_crc32c) {
    return fail(Errc::kProtocol, "a frame's header is damaged: checksum mismatch");
  }
  gathered_bytes_ = 0;
  stage_ = Stage::kAttachment;
  return begin_attachment();
}

bool FrameReader::begin_attachment() {
  const size_t attachment_bytes = frame_.prefix.attachment_bytes;
  attachment_crc32c_ = 0;
  if (attachment_bytes == 0) return true;
  if (budget_) {
    auto hold = budget_->try_take(attachment_bytes);
    if (!hold) {
      frame_.attachment_refused = true;
      return true;
    }
    frame_.hold = std::move(*hold);
  }
  frame_.attachment = buffers_.allocate(attachment_bytes);
  return true;
}

bool FrameReader::take_attachment(ByteView& bytes) {
  const size_t attachment_bytes = frame_.prefix.attachment_bytes;
  const ByteView part = bytes.first(std::min(bytes.size(), attachment_bytes - gathered_bytes_));
  attachment_crc32c_ = crc32c(part, attachment_crc32c_);
  if (!frame_.attachment_refused && !part.empty()) {
    std::memcpy(frame_.attachment.mutable_view().data() + gathered_bytes_, part.data(),
                part.size());
  }
  bytes = bytes.subspan(part.size());
  gathered_bytes_ += part.size();
  if (gathered_bytes_ < attachment_bytes) return false;
  if (attachment_crc32c_ != frame_.prefix.attachment_crc32c) {
    return fail(Errc::kProtocol, "a frame's attachment is damaged: checksum mismatch");
  }
  return true;
}

bool FrameReader::fail(Errc code, std::string why) {
  stage_ = Stage::kBroken;
  error_ = Error(code, std::move(why));
  frame_ = Frame{};
  header_ = Buffer();
  return false;
}

OutgoingFrame allocate_frame(FrameKind kind, wire::Method method, size_t header_bytes) {
  CHECK(header_bytes <= UINT32_MAX - kPrefixBytes);
  OutgoingFrame frame;
  frame.prefix.kind = kind;
  frame.prefix.method = method;
  frame.prefix.header_bytes = static_cast<uint32_t>(header_bytes);
  frame.head = Buffer::allocate(kPrefixBytes + header_bytes);
  return frame;
}

MutableByteView header_of(OutgoingFrame& frame) {
  return frame.head.mutable_view().subspan(kPrefixBytes);
}

void close_header(OutgoingFrame& frame) {
  frame.prefix.header_crc32c = crc32c(frame.head.view().subspan(kPrefixBytes));
}

Status attach(OutgoingFrame& frame, std::vector<Buffer> attachment, uint32_t bytes_max) {
  CHECK(frame.attachment.empty() && bytes_max <= kAttachmentBytesCeiling);
  std::erase_if(attachment, [](const Buffer& part) { return part.empty(); });
  uint64_t attachment_bytes = 0;
  for (const Buffer& part : attachment) attachment_bytes += part.size_bytes();
  if (attachment_bytes > bytes_max) {
    return error(Errc::kInvalidArgument, "an attachment of " + std::to_string(attachment_bytes) +
                                             " bytes, the limit is " + std::to_string(bytes_max) +
                                             "; nothing was sent");
  }
  uint32_t checksum = 0;
  for (const Buffer& part : attachment) checksum = crc32c(part.view(), checksum);
  frame.prefix.attachment_bytes = static_cast<uint32_t>(attachment_bytes);
  frame.prefix.attachment_crc32c = checksum;
  frame.attachment = std::move(attachment);
  return ok();
}

OutgoingFrame make_frame(FrameKind kind, ByteView header) {
  OutgoingFrame frame = allocate_frame(kind, wire::Method::kNone, header.size());
  if (!header.empty()) std::memcpy(header_of(frame).data(), header.data(), header.size());
  close_header(frame);
  return frame;
}

void seal(OutgoingFrame& frame, uint64_t call_id, uint32_t budget_ms) {
  frame.prefix.call_id = call_id;
  frame.prefix.budget_ms = budget_ms;
  frame.prefix.prefix_crc32c = prefix_checksum(frame.prefix);
  store(frame.head.mutable_view(), frame.prefix);
}

void send(io::Connection& connection, OutgoingFrame frame) {
  connection.send(std::move(frame.head));
  for (Buffer& part : frame.attachment) connection.send(std::move(part));
}

size_t frame_bytes_at_front(ByteView bytes) {
  if (bytes.size() < kPrefixBytes) return 0;
  const auto prefix = load<FramePrefix>(bytes);
  if (prefix.magic != kFrameMagic || prefix.prefix_crc32c != prefix_checksum(prefix)) return 0;
  return kPrefixBytes + prefix.header_bytes + size_t{prefix.attachment_bytes};
}

uint32_t budget_ms_until(Instant deadline, Instant now) {
  if (deadline <= now) return 1;
  const Duration left = deadline - now + Duration(999'999);
  return static_cast<uint32_t>(
      std::clamp<int64_t>(to_ms(left), 1, std::numeric_limits<uint32_t>::max()));
}

}  // namespace cairn::rpc
