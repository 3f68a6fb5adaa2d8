/// Disk and File on io_uring. Reached through Reactor::open_disk.
#pragma once

#include <memory>
#include <string>

#include "io/disk.h"
#include "io/real/io_ring.h"
#include "io/real/unique_fd.h"

namespace cairn::io::real {

/// Everything below one directory, by paths relative to its descriptor: renaming the root while the
/// process runs does no harm. Names with ".." and absolute ones are refused.
/// Most operations go through the ring, which hands those that may block to kernel threads.
/// Listing, truncating and asking for sizes are plain system calls: rare and short.
class RingDisk final : public Disk {
 public:
  RingDisk(IoRing& ring, UniqueFd root, std::string root_path);

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) override;
  Task<Status> make_directory(std::string path) override;
  Task<Result<std::vector<std::string>>> list(std::string path) override;
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> remove(std::string path) override;
  Task<Status> sync_directory(std::string path) override;
  Task<Result<DiskSpace>> space() override;

 private:
  std::string full_path(const std::string& path) const { return root_path_ + "/" + path; }

  IoRing& ring_;
  UniqueFd root_;
  std::string root_path_;  // For messages.
};

}  // namespace cairn::io::real
