/// Reclaimer: lets the oldest segments go.
///
/// Segments leave from the oldest on. Small records (hard states, snapshot marks, quarantines)
/// never hold a segment: they are written again at the head. Entries hold it; above the log's
/// bound, the few that a mostly dead segment still has are moved to the head too, as long as that
/// gains more than it costs. Where the log refuses what comes in, the log as a whole is looked at:
/// an oldest segment that is mostly alive goes round as well if enough of what it holds up is dead.
///
/// What is moved is read first and then appended in one turn, so that it shares batches: a small
/// record that is a batch of its own takes a block, and moving it alone would gain nothing.
/// Stopping anywhere is safe: the originals are part of the log until a batch behind the copies is
/// durable.
/// Threads: one reactor.
/// Source:  docs/formats/wal.md, "What is written when".
#pragma once

#include <optional>

#include "io/env.h"
#include "io/sync.h"
#include "store/wal/live_index.h"
#include "store/wal/segment_files.h"
#include "store/wal/writer.h"

namespace cairn::wal {

class Reclaimer {
 public:
  Reclaimer(io::Env env, const WalOptions& options, LiveIndex& index, SegmentFiles& files,
            Writer& writer);

  /// Cheap; after anything that may have made a segment useless.
  void poke();
  io::Task<void> run();  ///< until stop()
  void stop();
  uint64_t moved_count() const { return moved_count_; }

 private:
  bool is_over_limit() const { return files_.in_use_bytes() > soft_limit_bytes(options_); }
  bool is_choked() const;
  bool has_room_to_move() const;
  void begin_round();
  void note_round();
  bool has_work() const;
  /// The first segment that entries hold, or that is still written to.
  uint64_t first_held() const;
  io::Task<void> step();
  io::Task<bool> release_segments(uint64_t below);
  bool is_worth_moving() const;
  bool is_move_hopeless() const;
  void note_failed_move(const LiveEntry& entry, const Error& why);
  /// A live entry, read back.
  struct EntryCopy {
    LiveEntry from;
    Record record;
  };
  /// A group whose small records are to be moved, with its snapshot mark if that is one of them.
  struct SmallCopy {
    GroupId group;
    SmallRef mark_ref;  ///< as it was when the mark was read
    std::optional<Record> mark;
  };
  io::Task<bool> move_entries();
  io::Task<Result<Record>> read_entry(LiveEntry entry);
  void append_entries(std::vector<EntryCopy> copies);
  io::Task<bool> move_small(uint64_t below);
  io::Task<Result<SmallCopy>> read_small(GroupId group, uint64_t below);
  void append_small(std::vector<SmallCopy> copies, uint64_t below);
  /// A descriptor of the log, read back and verified. The last one read is kept.
  io::Task<Status> read_descriptor(uint64_t sequence, uint16_t block);
  io::Task<void> throttle();

  io::Env env_;
  const WalOptions& options_;
  LiveIndex& index_;
  SegmentFiles& files_;
  Writer& writer_;
  io::Event wanted_;
  bool is_stopping_ = false;
  // The newest segment when nothing could be done: it is tried again when there is a newer one.
  uint64_t release_given_up_at_ = 0;
  uint64_t move_given_up_at_ = 0;
  /// The entry that could not be moved, and the newest segment then; while both are the same...
  std::optional<LiveEntry> unmovable_;
  uint64_t move_failed_at_ = 0;
  uint32_t move_failures_count_ = 0;  ///< ...that often in a row
  /// The newest segment when a round through a log that is choked began; 0: none is under way.
  uint64_t round_end_ = 0;
  uint64_t round_live_bytes_ = 0;  ///< when it began
  /// A round that began with so much alive has gained too little; the next begins when a segment's
  /// worth of that has died.
  uint64_t fruitless_live_bytes_ = UINT64_MAX;
  uint64_t moved_count_ = 0;
  uint64_t moved_bytes_ = 0;  ///< since the last wait

  struct Descriptor {
    uint64_t sequence = 0;
    uint16_t block = 0;
    Buffer bytes;
    BatchView view;
  };
  Descriptor descriptor_;

  static constexpr uint32_t kMoveFailuresMax = 16;  ///< of one entry; rot is believed at once
  static constexpr uint64_t kGainSegmentsMin = 3;   ///< by a round, where most is alive
  static constexpr size_t kCopiesPerPass = 256;
  static constexpr uint64_t kMovedBytesMax = kMiB;  ///< in memory at once, and in flight
};

}  // namespace cairn::wal
