#include "io/real/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/units.h"
#include "io/real/file.h"
#include "io/real/system_error.h"

namespace cairn::io::real {

namespace {

/// A path stays below the root.
Status check_path(const std::string& path) {
  bool good = !path.empty() && path.front() != '/' && path.find('\0') == std::string::npos;
  for (size_t begin = 0; good && begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    good = path.compare(begin, end - begin, "..") != 0;
    begin = end + 1;
  }
  if (!good) {
    return error(Errc::kInvalidArgument,
                 "'" + path + "' does not name a file below the disk's root");
  }
  return ok();
}

Status check_result(int result, const char* what, const std::string& path) {
  if (result < 0) return system_error(-result, std::string(what) + " " + path);
  return ok();
}

}  // namespace

RingDisk::RingDisk(IoRing& ring, UniqueFd root, std::string root_path)
    : ring_(ring), root_(std::move(root)), root_path_(std::move(root_path)) {}

Task<Result<std::unique_ptr<File>>> RingDisk::open(std::string path, OpenOptions options) {
  CO_TRY(check_path(path));
  CHECK(!options.exclusive || options.create, "exclusive means: create it, or fail");
  int flags = O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR);
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.access == Access::kDirect) flags |= O_DIRECT;
  RingOp op(ring_);
  io_uring_prep_openat(op.sqe(), root_.get(), path.c_str(), flags, 0644);
  const int result = co_await op;
  CO_TRY(check_result(result, "open", full_path(path)));
  co_return std::unique_ptr<File>(
      std::make_unique<RingFile>(ring_, UniqueFd(result), full_path(path), options));
}

Task<Status> RingDisk::make_directory(std::string path) {
  CO_TRY(check_path(path));
  RingOp op(ring_);
  io_uring_prep_mkdirat(op.sqe(), root_.get(), path.c_str(), 0755);
  const int result = co_await op;
  if (result == -EEXIST) {
    struct stat status{};
    if (::fstatat(root_.get(), path.c_str(), &status, 0) == 0 && S_ISDIR(status.st_mode)) {
      co_return ok();
    }
  }
  co_return check_result(result, "make directory", full_path(path));
}

Task<Result<std::vector<std::string>>> RingDisk::list(std::string path) {
  CO_TRY(check_path(path));
  const int fd = ::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) co_return system_error(errno, "list " + full_path(path));
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), &::closedir);
  CHECK(directory != nullptr);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) co_return system_error(errno, "list " + full_path(path));
      break;
    }
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    struct stat status{};
    if (entry->d_type == DT_UNKNOWN && ::fstatat(fd, entry->d_name, &status, 0) == 0) {
      is_directory = S_ISDIR(status.st_mode);
    }
    if (is_directory) name += '/';
    names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  co_return names;
}

Task<Status> RingDisk::rename(std::string from, std::string to) {
  CO_TRY(check_path(from));
  CO_TRY(check_path(to));
  RingOp op(ring_);
  io_uring_prep_renameat(op.sqe(), root_.get(), from.c_str(), root_.get(), to.c_str(), 0);
  const int result = co_await op;
  co_return check_result(result, "rename", full_path(from) + " to " + full_path(to));
}

Task<Status> RingDisk::remove(std::string path) {
  CO_TRY(check_path(path));
  RingOp op(ring_);
  io_uring_prep_unlinkat(op.sqe(), root_.get(), path.c_str(), 0);
  int result = co_await op;
  if (result == -EISDIR) {
    io_uring_prep_unlinkat(op.sqe(), root_.get(), path.c_str(), AT_REMOVEDIR);
    result = co_await op;
  }
  co_return check_result(result, "remove", full_path(path));
}

Task<Status> RingDisk::sync_directory(std::string path) {
  CO_TRY(check_path(path));
  const UniqueFd directory(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) co_return system_error(errno, "sync directory " + full_path(path));
  RingOp op(ring_);
  io_uring_prep_fsync(op.sqe(), directory.get(), 0);
  const int result = co_await op;
  co_return check_result(result, "sync directory", full_path(path));
}

Task<Result<DiskSpace>> RingDisk::space() {
  struct statvfs status{};
  if (::fstatvfs(root_.get(), &status) != 0) co_return system_error(errno, "statvfs " + root_path_);
  // As df counts: what the file system keeps for others is neither free nor used.
  const uint64_t used = uint64_t{status.f_blocks} - status.f_bfree;
  co_return DiskSpace{.capacity_bytes = (used + status.f_bavail) * status.f_frsize,
                      .free_bytes = uint64_t{status.f_bavail} * status.f_frsize};
}

}  // namespace cairn::io::real
