/// DelayedDisk: a disk whose durable writes and syncs take a given time longer.
///
/// For tests of what a slow disk does to a cluster of real processes. What is durable stays what it
/// is; only the word of it comes later. Threads: the inner disk's. Lifetime: the inner disk and the
/// clock outlive it and its files.
#pragma once

#include "io/clock.h"
#include "io/disk.h"

namespace cairn::cli {

class DelayedDisk final : public io::Disk {
 public:
  DelayedDisk(io::Disk& inner, io::Clock& clock, Duration delay)
      : inner_(inner), clock_(clock), delay_(delay) {}

  io::Task<Result<std::unique_ptr<io::File>>> open(std::string path,
                                                   io::OpenOptions options) override;
  io::Task<Status> make_directory(std::string path) override { return inner_.make_directory(path); }
  io::Task<Result<std::vector<std::string>>> list(std::string path) override {
    return inner_.list(path);
  }
  io::Task<Status> rename(std::string from, std::string to) override {
    return inner_.rename(from, to);
  }
  io::Task<Status> remove(std::string path) override { return inner_.remove(path); }
  io::Task<Status> sync_directory(std::string path) override;
  io::Task<Result<io::DiskSpace>> space() override { return inner_.space(); }

 private:
  io::Disk& inner_;
  io::Clock& clock_;
  const Duration delay_;
};

}  // namespace cairn::cli
