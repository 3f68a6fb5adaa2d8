/// Frames: what travels on a connection. FrameReader turns bytes into frames, OutgoingFrame is one
/// on its way out.
///
/// Pure: bytes in, frames out; no socket, no clock. The header of a frame is parsed where it lies
/// in the receive buffer; the attachment is copied once, into one aligned buffer of the pool.
/// Errors:  kProtocol    not a frame, a damaged one or one over the limits;
///          kUnsupported a version that we do not speak. Either one ends the connection.
/// Threads: one reactor.
/// Source:  docs/formats/rpc.md; ADR-0003.
#pragma once

#include <optional>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "base/units.h"
#include "wire/methods.h"

namespace cairn::io {
class Connection;
}

namespace cairn::rpc {

inline constexpr uint32_t kFrameMagic = 0x314e5243;  // "CRN1"
inline constexpr uint8_t kFrameVersion = 1;

enum class FrameKind : uint8_t {
  kRequest = 1,
  kResponse = 2,
  kError = 3,  ///< call id 0: of the connection, which the sender closes next
  kOneWay = 4,
  kPing = 5,
  kPong = 6,
  kChallenge = 7,
  kProof = 8,
  kWelcome = 9,
};
inline constexpr uint8_t kFrameKindMax = 9;
std::string_view to_string(FrameKind kind);

struct FramePrefix {
  uint32_t magic = kFrameMagic;
  uint8_t version = kFrameVersion;
  FrameKind kind = FrameKind::kRequest;
  wire::Method method = wire::Method::kNone;
  uint64_t call_id = 0;
  uint32_t budget_ms = 0;
  uint32_t header_bytes = 0;
  uint32_t attachment_bytes = 0;
  uint32_t header_crc32c = 0;
  uint32_t attachment_crc32c = 0;
  uint32_t prefix_crc32c = 0;  ///< of the fields above
};
static_assert(sizeof(FramePrefix) == 40 && alignof(FramePrefix) == 8);
inline constexpr size_t kPrefixBytes = sizeof(FramePrefix);

/// Checked against a frame's prefix before anything is allocated for it.
struct FrameLimits {
  uint32_t header_bytes_max = 4 * kMiB;
  uint32_t attachment_bytes_max = 32 * kMiB;
};
/// For a peer that has not proved yet that it knows the cluster key.
inline constexpr FrameLimits kLimitsBeforeWelcome{.header_bytes_max = 1 * kKiB,
                                                  .attachment_bytes_max = 0};

/// How many bytes of attachments all readers of a server may hold: from a frame's prefix until its
/// call has ended. Outlives its holds.
class ReceiveBudget {
 public:
  explicit ReceiveBudget(size_t bytes_max) : bytes_max_(bytes_max) {}
  ~ReceiveBudget() { CHECK(used_bytes_ == 0, "a budget outlives what was taken from it"); }
  ReceiveBudget(const ReceiveBudget&) = delete;
  ReceiveBudget& operator=(const ReceiveBudget&) = delete;

  class Hold {
   public:
    Hold() = default;
    Hold(ReceiveBudget& from, size_t bytes) : from_(&from), bytes_(bytes) {}
    Hold(Hold&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(from_, other.from_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Hold() {
      if (from_) from_->used_bytes_ -= bytes_;
    }

   private:
    ReceiveBudget* from_ = nullptr;
    size_t bytes_ = 0;
  };
  std::optional<Hold> try_take(size_t bytes) {
    if (bytes > bytes_max_ - used_bytes_) return std::nullopt;
    used_bytes_ += bytes;
    return Hold(*this, bytes);
  }
  size_t used_bytes() const { return used_bytes_; }

 private:
  size_t bytes_max_;
  size_t used_bytes_ = 0;  ///< invariant: at most bytes_max_
};

/// A frame that has arrived, with sound checksums.
struct Frame {
  FramePrefix prefix;
  ByteView header;                  ///< valid until the reader is used again
  Buffer attachment;                ///< one aligned buffer, or empty
  bool attachment_refused = false;  ///< the budget was spent: the attachment has been thrown away
  ReceiveBudget::Hold hold;
};

class FrameReader {
 public:
  enum class Step {
    kFrame,     ///< frame() is the next one; call again, there may be more
    kNeedMore,  ///< all bytes are consumed
    kBroken,    ///< error() says why; the stream cannot be read any further
  };

  /// Without a budget the limits alone bound what is held. `buffers` and `budget` outlive this.
  FrameReader(BufferPool& buffers, FrameLimits limits, ReceiveBudget* budget = nullptr);

  /// Consumes `bytes` from the front, up to the end of the next frame.
  Step next(ByteView& bytes);
  Frame& frame() { return frame_; }
  const Error& error() const { return *error_; }
  /// Holds from the next frame on.
  void set_limits(FrameLimits limits);
  /// No part of a frame has been consumed that has not been handed out.
  bool between_frames() const { return stage_ == Stage::kPrefix && gathered_bytes_ == 0; }

 private:
  enum class Stage { kPrefix, kHeader, kAttachment, kBroken };
  bool take_prefix(ByteView& bytes);
  bool take_header(ByteView& bytes);
  bool take_attachment(ByteView& bytes);
  bool begin_attachment();
  bool check_prefix(const FramePrefix& prefix);
  bool fail(Errc code, std::string why);

  BufferPool& buffers_;
  FrameLimits limits_;
  ReceiveBudget* budget_;
  Stage stage_ = Stage::kPrefix;
  size_t gathered_bytes_ = 0;       ///< of the stage under way
  std::byte prefix_[kPrefixBytes];  ///< a prefix that arrives in parts
  Buffer header_;                   ///< a header that does not lie whole beside its attachment
  uint32_t attachment_crc32c_ = 0;  ///< of what has arrived
  Frame frame_;
  std::optional<Error> error_;
};

/// A frame on its way out: prefix and header in one small buffer, the attachment by reference.
struct OutgoingFrame {
  FramePrefix prefix;  ///< complete but for call id, budget and checksum, which seal() sets
  Buffer head;         ///< room for the prefix, then the header
  std::vector<Buffer> attachment;

  size_t size_bytes() const { return head.size_bytes() + prefix.attachment_bytes; }
};

/// A frame with room for `header_bytes` behind the prefix; header_of() is where they go, and
/// close_header() has to follow.
OutgoingFrame allocate_frame(FrameKind kind, wire::Method method, size_t header_bytes);
MutableByteView header_of(OutgoingFrame& frame);
void close_header(OutgoingFrame& frame);
/// kInvalidArgument above the limit. Empty buffers are left out.
Status attach(OutgoingFrame& frame, std::vector<Buffer> attachment, uint32_t bytes_max);
/// A frame with these bytes as its header and no attachment.
OutgoingFrame make_frame(FrameKind kind, ByteView header);
/// Writes the prefix; once, while `head` has one owner.
void seal(OutgoingFrame& frame, uint64_t call_id, uint32_t budget_ms);
/// Queues a sealed frame.
void send(io::Connection& connection, OutgoingFrame frame);

/// Bytes of the frame that `bytes` begins with, whole or not; 0 before its prefix is whole or where
/// it is none. For who watches a stream (the simulator, a test), without limits or other checks.
size_t frame_bytes_at_front(ByteView bytes);

/// Milliseconds from `now` to `deadline`, rounded up; at least 1 and at most 2^32 - 1.
uint32_t budget_ms_until(Instant deadline, Instant now);

}  // namespace cairn::rpc
