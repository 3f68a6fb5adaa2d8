#include "io/disk.h"

#include <array>

namespace cairn::io {

namespace {
std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}
}  // namespace

Task<Result<Buffer>> read_file(Disk& disk, std::string path, uint64_t bytes_max) {
  OpenOptions options;
  options.read_only = true;
  auto file = CO_TRY(co_await disk.open(path, options));
  const uint64_t size_bytes = CO_TRY(co_await file->size());
  if (size_bytes > bytes_max) {
    co_return error(Errc::kCorrupt, path + " has " + std::to_string(size_bytes) +
                                        " bytes, more than the " + std::to_string(bytes_max) +
                                        " that such a file may have");
  }
  Buffer content = Buffer::allocate(size_bytes);
  CO_TRY(co_await file->read(0, content.mutable_view()));
  co_return content;
}

Task<Status> replace_file(Disk& disk, std::string path, Buffer content) {
  const std::string aside = path + ".new";
  OpenOptions options;
  options.create = true;
  auto file = CO_TRY(co_await disk.open(aside, options));
  CO_TRY(co_await file->truncate(0));
  const std::array<ByteView, 1> parts{content.view()};
  CO_TRY(co_await file->write(0, parts, Durability::kCached));
  CO_TRY(co_await file->sync_data());
  file.reset();
  CO_TRY(co_await disk.rename(aside, path));
  CO_TRY(co_await disk.sync_directory(parent_of(path)));
  co_return ok();
}

}  // namespace cairn::io
