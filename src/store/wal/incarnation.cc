#include "store/wal/incarnation.h"

#include "base/crc32c.h"

namespace cairn::wal {

namespace {

uint32_t checksum(const IncarnationImage& image) {
  return crc32c(bytes_of(image).first(offsetof(IncarnationImage, crc)));
}

}  // namespace

Buffer encode_incarnation(const Incarnation& incarnation) {
  CHECK(incarnation.token != 0, "a log has a token");
  IncarnationImage image{.token = incarnation.token, .owner = incarnation.owner};
  image.crc = checksum(image);
  return Buffer::copy_of(bytes_of(image));
}

Result<Incarnation> decode_incarnation(ByteView bytes) {
  if (bytes.size() != sizeof(IncarnationImage)) {
    return error(Errc::kCorrupt, "it has " + std::to_string(bytes.size()) + " bytes instead of " +
                                     std::to_string(sizeof(IncarnationImage)));
  }
  const auto image = load<IncarnationImage>(bytes);
  if (image.magic != kIncarnationMagic || image.crc != checksum(image) || image.token == 0) {
    return error(Errc::kCorrupt, "it does not match its checksum");
  }
  if (image.version != kIncarnationVersion) {
    return error(Errc::kUnsupported, "it has version " + std::to_string(image.version) +
                                         "; this release knows version 1");
  }
  return Incarnation{.token = image.token, .owner = image.owner};
}

std::string incarnation_path(const std::string& directory) {
  return directory + ".identity";
}

io::Task<Result<std::optional<Incarnation>>> load_incarnation(io::Disk& disk,
                                                              std::string directory) {
  const std::string path = incarnation_path(directory);
  auto content = co_await io::read_file(disk, path, kBlockBytes);
  if (content.code() == Errc::kNotFound) co_return std::optional<Incarnation>();
  if (!content.ok()) co_return content.error();
  auto incarnation = decode_incarnation(content->view());
  if (!incarnation.ok()) co_return incarnation.error().within(path);
  co_return std::optional(*incarnation);
}

io::Task<Status> save_incarnation(io::Disk& disk, std::string directory, Incarnation incarnation) {
  co_return co_await io::replace_file(disk, incarnation_path(directory),
                                      encode_incarnation(incarnation));
}

}  // namespace cairn::wal
