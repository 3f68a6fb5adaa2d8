/// SimDisk: io::Disk over a DiskImage, with latencies and faults.
///
/// An operation takes effect on what readers see when it is called, and is durable (if it was asked
/// to be) when it completes: so a crash in between leaves each of its sectors old, new or torn.
/// Faults: a slow disk, errors of chosen operations, a sync that fails and loses what it held, no
/// space, operations that hang, flipped bits.
/// Threads: one.
#pragma once

#include <memory>
#include <string>

#include "io/disk.h"
#include "sim/io/disk_image.h"

namespace cairn::sim {

class Host;
class SimFile;

struct DiskModel {
  uint64_t capacity_bytes = 64 * kGiB;
  Duration read_min = 60us;
  Duration write_min = 20us;  ///< into the page cache, or the device's
  Duration sync_min = 60us;   ///< a durable write, a sync
  Duration tail_mean = 25us;  ///< an exponential on top
  uint64_t bytes_per_second = 2'000'000'000;
};

enum class DiskOperation : uint8_t { kRead, kWrite, kSync, kNames };

struct DiskCounters {
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t synced_writes = 0;
  uint64_t syncs = 0;
  uint64_t name_changes = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t errors_injected = 0;
};

class SimDisk : public io::Disk {
 public:
  SimDisk(Host& host, std::string name, DiskModel model, Rng rng);

  io::Task<Result<std::unique_ptr<io::File>>> open(std::string path,
                                                   io::OpenOptions options) override;
  io::Task<Status> make_directory(std::string path) override;
  io::Task<Result<std::vector<std::string>>> list(std::string path) override;
  io::Task<Status> rename(std::string from, std::string to) override;
  io::Task<Status> remove(std::string path) override;
  io::Task<Status> sync_directory(std::string path) override;
  io::Task<Result<io::DiskSpace>> space() override;

  // ---- faults
  /// All operations take this many times as long.
  void set_slowness(double factor) { slowness_ = factor; }
  /// Operations do not complete until it is cleared.
  void set_hung(bool hung) { is_hung_ = hung; }
  /// The n-th operation of this kind from now on (1: the next) fails with kIo, once.
  void fail_operation(DiskOperation kind, uint64_t n = 1);
  /// Each operation of this kind fails with this probability.
  void set_error_rate(DiskOperation kind, double probability);
  /// The next sync_data() or durable write fails and forgets part of what was volatile: later
  /// syncs succeed without saving it, as Linux does.
  void fail_next_sync() { fail_next_sync_ = true; }
  /// Takes back the errors that were ordered and have not come yet.
  void clear_errors();
  void set_capacity(uint64_t bytes) { model_.capacity_bytes = bytes; }
  /// Flips one bit of a file; kNotFound, or kInvalidArgument beyond its end.
  Status corrupt(const std::string& path, uint64_t offset_bytes, unsigned bit = 0);
  /// The names in a directory, and a part of a file as it is read now (empty beyond its end): for
  /// those who choose what to corrupt.
  std::vector<std::string> names(const std::string& path) const;
  std::vector<std::byte> peek(const std::string& path, uint64_t offset_bytes,
                              uint64_t size_bytes) const;
  /// Cuts a file short behind everyone's back, durably.
  Status cut_file(const std::string& path, uint64_t size_bytes);
  /// From now on this one holds what `other` (itself, too) holds of the files that `keeps` wants,
  /// all of it durable. The host is down.
  void take_content(const SimDisk& other, const std::function<bool(const std::string&)>& keeps);
  /// What is not durable is lost, kept or torn. Host::crash() calls it; no file is open.
  void lose_power();

  const DiskCounters& counters() const { return counters_; }
  const std::string& name() const { return name_; }
  /// Names and contents as they are read now: equal hashes, equal disks.
  uint64_t hash() const { return image_.hash(); }
  uint64_t used_bytes() const { return image_.used_bytes(); }

 private:
  friend class SimFile;
  Status inject(DiskOperation kind, std::string_view verb, const std::string& path);
  io::Task<void> take(DiskOperation kind, uint64_t bytes, bool durable);
  Status check_space(const Inode& inode, uint64_t end_bytes, const std::string& path) const;
  bool take_sync_failure() { return std::exchange(fail_next_sync_, false); }

  Host& host_;
  const std::string name_;
  DiskModel model_;
  Rng rng_;
  DiskImage image_;
  DiskCounters counters_;
  double slowness_ = 1.0;
  bool is_hung_ = false;
  bool fail_next_sync_ = false;
  std::array<uint64_t, 4> fail_after_{};  ///< by kind; 0: none
  std::array<double, 4> error_rates_{};
};

}  // namespace cairn::sim
