#include "io/real/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/check.h"
#include "base/units.h"
#include "io/real/io_vectors.h"
#include "io/real/system_error.h"

namespace cairn::io::real {

namespace {

// The kernel may answer "try again" when it is short of memory; for ever is a broken disk.
constexpr int kRetriesMax = 64;
constexpr size_t kTransferBytesMax = size_t{1} << 30;  // The kernel's own limit is 2 GiB - 4 KiB.

bool is_transient(int result) {
  return result == -EINTR || result == -EAGAIN || result == -ENOMEM;
}

bool is_aligned_memory(const void* memory) {
  return is_block_aligned(reinterpret_cast<uintptr_t>(memory));
}

}  // namespace

RingFile::RingFile(IoRing& ring, UniqueFd fd, std::string path, OpenOptions options)
    : ring_(ring), fd_(std::move(fd)), path_(std::move(path)), options_(options) {}

RingFile::~RingFile() {
  CHECK(operations_count_ == 0, "a file is closed after its last operation has completed");
}

std::string RingFile::at(const char* what, uint64_t offset_bytes, uint64_t size_bytes) const {
  return std::string(what) + " " + std::to_string(size_bytes) + " bytes at " +
         std::to_string(offset_bytes) + " of " + path_;
}

Task<Status> RingFile::read(uint64_t offset_bytes, MutableByteView into) {
  if (options_.access == Access::kDirect) {
    CHECK(is_block_aligned(offset_bytes) && is_block_aligned(into.size()) &&
              is_aligned_memory(into.data()),
          "direct reads are aligned");
  }
  const InUse in_use(*this);
  size_t done_bytes = 0;
  int retries_count = 0;
  while (done_bytes < into.size()) {
    const size_t piece_bytes = std::min(into.size() - done_bytes, kTransferBytesMax);
    RingOp op(ring_);
    io_uring_prep_read(op.sqe(), fd_.get(), into.data() + done_bytes,
                       static_cast<unsigned>(piece_bytes), offset_bytes + done_bytes);
    const int result = co_await op;
    if (is_transient(result) && ++retries_count <= kRetriesMax) continue;
    if (result < 0) co_return system_error(-result, at("read", offset_bytes, into.size()));
    if (result == 0) {
      co_return error(Errc::kIo, at("read", offset_bytes, into.size()) + ": short read, " +
                                     std::to_string(done_bytes) + " bytes are there");
    }
    done_bytes += static_cast<size_t>(result);
  }
  co_return ok();
}

Task<Status> RingFile::write(uint64_t offset_bytes, std::span<const ByteView> parts,
                             Durability durability) {
  CHECK(parts.size() <= kPartsMax);
  CHECK(!options_.read_only);
  if (options_.access == Access::kDirect) {
    CHECK(is_block_aligned(offset_bytes), "direct writes are aligned");
    for (const ByteView part : parts) {
      CHECK(is_block_aligned(part.size()) && is_aligned_memory(part.data()),
            "direct writes are aligned");
    }
  }
  const InUse in_use(*this);
  const int flags = durability == Durability::kSynced ? RWF_DSYNC : 0;
  IoVectors vectors(parts);
  const size_t size_bytes = vectors.left_bytes();
  uint64_t position_bytes = offset_bytes;
  int retries_count = 0;
  while (vectors.left_bytes() > 0) {
    RingOp op(ring_);
    if (vectors.count() == 1) {  // A plain write saves the kernel the import of a vector.
      const iovec& only = *vectors.data();
      io_uring_prep_write(op.sqe(), fd_.get(), only.iov_base,
                          static_cast<unsigned>(std::min(only.iov_len, kTransferBytesMax)),
                          position_bytes);
      op.sqe()->rw_flags = flags;
    } else {
      io_uring_prep_writev2(op.sqe(), fd_.get(), vectors.data(),
                            static_cast<unsigned>(vectors.count()), position_bytes, flags);
    }
    const int result = co_await op;
    if (is_transient(result) && ++retries_count <= kRetriesMax) continue;
    if (result <= 0) {  // A write of something that writes nothing would repeat for ever.
      co_return system_error(result == 0 ? EIO : -result, at("write", offset_bytes, size_bytes));
    }
    vectors.advance(static_cast<size_t>(result));
    position_bytes += static_cast<uint64_t>(result);
  }
  co_return ok();
}

Task<Status> RingFile::sync_data() {
  const InUse in_use(*this);
  // Not retried whatever the reason: after a failed sync the kernel may have dropped the pages.
  RingOp op(ring_);
  io_uring_prep_fsync(op.sqe(), fd_.get(), IORING_FSYNC_DATASYNC);
  const int result = co_await op;
  if (result < 0) co_return system_error(-result, "sync " + path_);
  co_return ok();
}

Task<Status> RingFile::allocate(uint64_t offset_bytes, uint64_t size_bytes) {
  CHECK(size_bytes > 0);
  const InUse in_use(*this);
  int result = 0;
  int retries_count = 0;
  do {
    RingOp op(ring_);
    // Older liburing declares the length as off_t, newer as __u64: both take this.
    io_uring_prep_fallocate(op.sqe(), fd_.get(), 0, static_cast<off_t>(offset_bytes),
                            static_cast<off_t>(size_bytes));
    result = co_await op;
  } while (is_transient(result) && ++retries_count <= kRetriesMax);
  if (result < 0) co_return system_error(-result, at("allocate", offset_bytes, size_bytes));
  co_return ok();
}

Task<Status> RingFile::truncate(uint64_t size_bytes) {
  int result = 0;
  do {
    result = ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    co_return system_error(errno, "truncate " + path_ + " to " + std::to_string(size_bytes));
  }
  co_return ok();
}

Task<Result<uint64_t>> RingFile::size() {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) co_return system_error(errno, "stat " + path_);
  co_return static_cast<uint64_t>(status.st_size);
}

Status RingFile::write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) {
  CHECK(options_.access == Access::kBuffered && parts.size() <= kPartsMax);
  if (parts.size() == 1) return write_cached_pieces(offset_bytes, parts.front());
  IoVectors vectors(parts);
  const size_t size_bytes = vectors.left_bytes();
  uint64_t position_bytes = offset_bytes;
  while (vectors.left_bytes() > 0) {
    const ssize_t result = ::pwritev(fd_.get(), vectors.data(), static_cast<int>(vectors.count()),
                                     static_cast<off_t>(position_bytes));
    if (result < 0 && errno == EINTR) continue;
    if (result <= 0) {
      return system_error(result == 0 ? EIO : errno, at("write", offset_bytes, size_bytes));
    }
    vectors.advance(static_cast<size_t>(result));
    position_bytes += static_cast<uint64_t>(result);
  }
  return ok();
}

Status RingFile::write_cached_pieces(uint64_t offset_bytes, ByteView bytes) {
  // A long write leaves long folios in the page cache, and every later write into one walks the
  // buffer heads of all its blocks: 4 KiB into 1 MiB cost a third of a server's CPU, 4 KiB into
  // 64 KiB a tenth.
  constexpr size_t kPieceBytes = 16 * 1024;
  size_t done_bytes = 0;
  while (done_bytes < bytes.size()) {
    const size_t step_bytes = std::min(kPieceBytes, bytes.size() - done_bytes);
    const ssize_t result = ::pwrite(fd_.get(), bytes.data() + done_bytes, step_bytes,
                                    static_cast<off_t>(offset_bytes + done_bytes));
    if (result < 0 && errno == EINTR) continue;
    if (result <= 0) {
      return system_error(result == 0 ? EIO : errno, at("write", offset_bytes, bytes.size()));
    }
    done_bytes += static_cast<size_t>(result);
  }
  return ok();
}

Status RingFile::read_cached_now(uint64_t offset_bytes, MutableByteView into) {
  CHECK(options_.access == Access::kBuffered);
  size_t done_bytes = 0;
  while (done_bytes < into.size()) {
    const ssize_t result = ::pread(fd_.get(), into.data() + done_bytes, into.size() - done_bytes,
                                   static_cast<off_t>(offset_bytes + done_bytes));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return system_error(errno, at("read", offset_bytes, into.size()));
    if (result == 0) {
      return error(Errc::kIo, at("read", offset_bytes, into.size()) + ": short read, " +
                                  std::to_string(done_bytes) + " bytes are there");
    }
    done_bytes += static_cast<size_t>(result);
  }
  return ok();
}

}  // namespace cairn::io::real
