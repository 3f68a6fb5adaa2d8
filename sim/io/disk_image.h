/// DiskImage: what a simulated disk holds, and what of it survives a power loss. Pure: no time.
///
/// Every 512-byte sector has a content and a durable content; they differ from a write until it is
/// made durable. At a power loss each sector that differs is, independently, old, new or torn. A
/// name is durable after its directory was synced; until then each change of a name is kept or lost
/// independently, but a rename is atomic: the file has one of its names, and a replaced target is
/// never lost without the file that replaces it.
/// Threads: one.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/units.h"

namespace cairn::sim {

inline constexpr uint64_t kSectorBytes = 512;
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr size_t kSectorsPerPage = kPageBytes / kSectorBytes;

/// How a power loss treats the sectors that are not durable.
enum class LossMode : uint8_t { kEachItsOwn, kAllOld, kAllNew };

class Inode {
 public:
  explicit Inode(uint64_t number) : number_(number) {}

  uint64_t number() const { return number_; }
  uint64_t size_bytes() const { return size_bytes_; }
  /// What it takes of the disk's capacity.
  uint64_t used_bytes() const {
    return round_up(std::max(size_bytes_, reserved_bytes_), kPageBytes);
  }

  /// The content changes now; nothing becomes durable. `stamp` is greater than all before.
  void write(uint64_t offset_bytes, std::span<const ByteView> parts, uint64_t stamp);
  /// The range lies within the file.
  void read(uint64_t offset_bytes, MutableByteView into) const;
  void reserve(uint64_t end_bytes);
  void truncate(uint64_t size_bytes);

  /// Makes the write with this stamp durable, as O_DSYNC does: its sectors and the size that they
  /// need. The parts are those that were written.
  void make_durable(uint64_t offset_bytes, std::span<const ByteView> parts, uint64_t stamp);

  /// All that is volatile at one moment; end_sync() makes that durable, even if newer content
  /// (still volatile) has come over it meanwhile.
  struct Snapshot {
    struct Page {
      uint64_t page_index;
      std::array<uint64_t, kSectorsPerPage> stamps;
      uint8_t sectors_mask;
      std::unique_ptr<std::byte[]> data;
    };
    std::vector<Page> pages;
    uint64_t size_bytes = 0;
    uint64_t bytes() const { return pages.size() * kPageBytes; }
  };
  Snapshot begin_sync();
  void end_sync(const Snapshot& snapshot);
  /// A failed write-back: some volatile sectors are no longer known as such. Reads still show them,
  /// later syncs succeed and do not save them, a power loss brings the old content back.
  void forget_volatile(Rng& rng);

  void lose_power(Rng& rng, LossMode mode);
  /// Flips a bit of the content and of the durable content.
  void flip_bit(uint64_t offset_bytes, unsigned bit);

  uint64_t hash() const;

 private:
  struct Page {
    std::array<std::byte, kPageBytes> data{};
    std::unique_ptr<std::byte[]> durable;  ///< set while any sector differs from the medium
    std::array<uint64_t, kSectorsPerPage> stamps{};
    std::array<uint64_t, kSectorsPerPage> durable_stamps{};
    uint8_t forgotten_mask = 0;
    bool is_listed = false;  ///< in volatile_pages_

    bool is_volatile(size_t sector) const { return stamps[sector] != durable_stamps[sector]; }
    bool is_any_volatile() const { return stamps != durable_stamps; }
  };
  Page& page(uint64_t index);
  const Page* find(uint64_t index) const {
    return index < pages_.size() ? pages_[index].get() : nullptr;
  }
  void write_part(uint64_t offset_bytes, ByteView bytes, uint64_t stamp);
  void make_part_durable(uint64_t offset_bytes, ByteView bytes, uint64_t stamp);
  void settle(Page& page);
  void drop_pages_from(uint64_t size_bytes);

  const uint64_t number_;
  uint64_t size_bytes_ = 0;
  uint64_t durable_size_bytes_ = 0;
  uint64_t reserved_bytes_ = 0;
  std::vector<std::unique_ptr<Page>> pages_;  ///< null: zeros, durable
  std::vector<uint64_t> volatile_pages_;      ///< indexes; a superset of those that differ
};

class DiskImage {
 public:
  using InodePointer = std::shared_ptr<Inode>;  ///< shared with the files open on it

  Result<InodePointer> open(const std::string& path, bool create, bool exclusive);
  Status make_directory(const std::string& path);
  Result<std::vector<std::string>> list(const std::string& path) const;
  Status rename(const std::string& from, const std::string& to);
  Status remove(const std::string& path);
  InodePointer find(const std::string& path) const;

  /// The names of one directory at one moment; end_sync() makes them durable, but for those of
  /// files of which a later snapshot already is.
  struct DirectorySnapshot {
    uint64_t number = 0;  ///< they are counted in the order in which they begin
    std::vector<std::pair<uint64_t, std::string>> placed;  ///< inode number, its name here
    std::vector<uint64_t> gone;                            ///< durable here, and removed
    std::vector<std::string> directories;
    std::vector<std::string> directories_gone;
  };
  Result<DirectorySnapshot> begin_sync_directory(const std::string& path);
  void end_sync_directory(const DirectorySnapshot& snapshot);

  void lose_power(Rng& rng);

  /// The files whose names `keeps` wants, and all directories, everything durable.
  DiskImage durable_copy(const std::function<bool(const std::string&)>& keeps) const;

  uint64_t used_bytes() const;
  uint64_t next_stamp() { return ++last_stamp_; }
  /// Names and contents, as they are read.
  uint64_t hash() const;

  static std::string normalize(const std::string& path);
  static std::string parent_of(const std::string& path);

 private:
  struct Entry {
    InodePointer inode;
    std::string name;          ///< empty: removed
    std::string durable_name;  ///< empty: not yet on the medium
    uint64_t synced_by = 0;    ///< number of the snapshot that durable_name is of
  };
  void place(uint64_t number, const std::string& name);
  void unlink_name(const std::string& name);
  void forget_if_nameless(uint64_t number);
  std::map<std::string, uint64_t> survivors(Rng& rng);
  void lose_directories(Rng& rng);

  std::map<uint64_t, Entry> entries_;      ///< by inode number
  std::map<std::string, uint64_t> names_;  ///< as seen now
  std::set<std::string> directories_;      ///< as seen now; the root is implied
  std::set<std::string> durable_directories_;
  uint64_t next_inode_number_ = 1;
  uint64_t last_directory_sync_ = 0;
  uint64_t last_stamp_ = 0;
};

}  // namespace cairn::sim
