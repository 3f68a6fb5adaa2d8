/// Volume: reads and writes of one block volume.
///
/// Any byte range will do; ranges aligned to 4 KiB are fast. A write is durable on a quorum when it
/// returns. Each 4 KiB block is a linearizable register; an operation over several blocks is not
/// atomic across them. Operations of this object on the same block take effect in the order of
/// their start. What was never written, or was discarded, reads as zeros.
///
/// Errors:   kInvalidArgument  the range is outside of the volume, or too large; nothing was done;
///           kNoSpace          the cluster is full; the text says what was written;
///           kStaleFence       the session is lost: another client has taken the volume, and
///                             nothing works here any more;
///           kTimeout          not done by the deadline; the text says what may have been done;
///           kOverloaded       too many operations wait; nothing was done;
///           kClosed           after close().
/// Threads:  the reactor's.
/// Lifetime: close() before the destructor; the Cluster outlives it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/buffer.h"
#include "client/block_order.h"
#include "client/chunk_caller.h"
#include "client/inflight_limit.h"
#include "client/pieces.h"
#include "client/segments.h"
#include "client/split.h"
#include "client/volume_session.h"
#include "client/write_window.h"
#include "io/env.h"

namespace cairn::client {

struct VolumeTraits {
  VolumeId id;
  std::string name;
  Fence fence;
  Layout layout;
  uint64_t client = 0;  ///< this object's name towards the copysets; see wire/chunk.proto
};

class Volume {
 public:
  Volume(Shared& shared, VolumeTraits traits, SessionTraits session);
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  /// Grows while the volume is open if somebody extends it; known within a third of the lease.
  uint64_t size_bytes() const { return session_.volume_bytes(); }
  /// What somebody has heard from the MDS meanwhile.
  void note_size(uint64_t size_bytes) { session_.note_size(size_bytes); }
  /// As it was called when it was opened.
  const std::string& name() const { return traits_.name; }
  VolumeId id() const { return traits_.id; }
  Fence fence() const { return traits_.fence; }
  bool is_read_only() const { return session_.mode() == OpenMode::kReadOnly; }
  /// See VolumeSession::on_loss. Not called after close().
  void on_session_loss(std::function<void(const Error&)> callback) {
    session_.on_loss(std::move(callback));
  }

  /// The pieces in order, without a copy where several parts had to be read.
  io::Task<Result<std::vector<ReadPiece>>> read_pieces(uint64_t offset_bytes, uint64_t size_bytes);
  io::Task<Result<Buffer>> read(uint64_t offset_bytes, uint64_t size_bytes);
  /// `data` is kept by reference until the return; it may not change meanwhile.
  io::Task<Status> write(uint64_t offset_bytes, Buffer data);
  /// Reads as zeros afterwards; space stays reserved.
  io::Task<Status> write_zeroes(uint64_t offset_bytes, uint64_t size_bytes);
  /// Reads as zeros afterwards; space may be given back.
  io::Task<Status> discard(uint64_t offset_bytes, uint64_t size_bytes);
  /// Every completed write is durable already: this only says that the volume is open.
  io::Task<Status> flush();
  /// The allocation of a range, in pieces that each are one or more segments' parts.
  io::Task<Result<std::vector<Extent>>> extents(uint64_t offset_bytes, uint64_t size_bytes);

  /// Lets no operation begin and returns when those under way and the session have ended.
  io::Task<void> close();

 private:
  struct Progress;

  Status check(uint64_t offset_bytes, uint64_t size_bytes, uint64_t bytes_max) const;
  BlockOrder::Enter in_order(uint64_t offset_bytes, uint64_t size_bytes, BlockOrder::Kind kind);
  ChunkRange range_of(const Part& part, const Segment& segment) const;

  io::Task<Status> change(uint64_t offset_bytes, uint64_t size_bytes, WriteKind kind, Buffer data);
  /// `Parts` is a Splitter where there is data, and a ChunkSplitter otherwise.
  template <class Parts>
  io::Task<Status> change_parts(Parts parts, WriteKind kind, Buffer data, Instant deadline);
  io::Task<Status> change_part(ChunkRange range, WriteKind kind, Buffer data, Instant deadline);
  io::Task<void> change_one_of(ChunkRange range, WriteKind kind, Buffer data, Instant deadline,
                               InflightLimit::Permit permit, Progress* progress);
  io::Task<void> read_one_of(ChunkRange range, Instant deadline, InflightLimit::Permit permit,
                             ReadPiece* into, Progress* progress);
  WriteWindow& window(CopysetId copyset);
  /// The failure as the caller sees it; a stale fence ends the session.
  Error failed(const Error& failure);

  Shared& shared_;
  io::Env env_;
  const VolumeTraits traits_;
  VolumeSession session_;
  Segments segments_;
  BlockOrder order_;
  InflightLimit limit_;
  std::unordered_map<CopysetId, WriteWindow> windows_;
  io::Gate gate_;
  Counter& reads_;
  Counter& writes_;
  Counter& read_bytes_;
  Counter& written_bytes_;
  Counter& failures_;
};

}  // namespace cairn::client
