/// RingFile: a File on io_uring. Made by RingDisk.
#pragma once

#include <string>

#include "io/disk.h"
#include "io/real/io_ring.h"
#include "io/real/unique_fd.h"

namespace cairn::io::real {

class RingFile final : public File {
 public:
  RingFile(IoRing& ring, UniqueFd fd, std::string path, OpenOptions options);
  ~RingFile() override;

  Task<Status> read(uint64_t offset_bytes, MutableByteView into) override;
  Task<Status> write(uint64_t offset_bytes, std::span<const ByteView> parts,
                     Durability durability) override;
  Task<Status> sync_data() override;
  Task<Status> allocate(uint64_t offset_bytes, uint64_t size_bytes) override;
  Task<Status> truncate(uint64_t size_bytes) override;
  Task<Result<uint64_t>> size() override;
  Status write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) override;
  Status read_cached_now(uint64_t offset_bytes, MutableByteView into) override;

 private:
  Status write_cached_pieces(uint64_t offset_bytes, ByteView bytes);
  /// Counts an operation while it holds the descriptor's number, which close() gives away.
  class InUse {
   public:
    explicit InUse(RingFile& file) : file_(file) { ++file.operations_count_; }
    ~InUse() { --file_.operations_count_; }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    RingFile& file_;
  };

  std::string at(const char* what, uint64_t offset_bytes, uint64_t size_bytes) const;

  IoRing& ring_;
  UniqueFd fd_;
  std::string path_;
  OpenOptions options_;
  size_t operations_count_ = 0;
};

}  // namespace cairn::io::real
