#include "chunkserver/identity.h"

#include "base/crc32c.h"

namespace cairn::chunkserver {

namespace {

constexpr char kFileName[] = "identity";
constexpr uint32_t kMagic = 0x44494e43;  // "CNID"
constexpr uint32_t kVersion = 1;

struct IdentityImage {
  uint32_t magic;
  uint32_t version;
  std::array<std::byte, 16> token;
  uint64_t id;
  uint32_t reserved;
  uint32_t crc32c;  ///< of everything before it
};
static_assert(sizeof(IdentityImage) == 40);

uint32_t checksum(const IdentityImage& image) {
  return crc32c(bytes_of(image).first(offsetof(IdentityImage, crc32c)));
}

}  // namespace

Buffer encode(const Identity& identity) {
  IdentityImage image{};
  image.magic = kMagic;
  image.version = kVersion;
  image.token = identity.token;
  image.id = identity.id.value();
  image.crc32c = checksum(image);
  return Buffer::copy_of(bytes_of(image));
}

Result<Identity> decode_identity(ByteView bytes) {
  const auto damaged = [](const std::string& what) {
    return error(Errc::kCorrupt,
                 "the identity file of this disk " + what +
                     ". Nothing was started. Restore the file from a backup, or remove the whole "
                     "data directory to let the disk join as a new one");
  };
  if (bytes.size() != sizeof(IdentityImage)) {
    return damaged("has " + std::to_string(bytes.size()) + " bytes instead of " +
                   std::to_string(sizeof(IdentityImage)));
  }
  const auto image = load<IdentityImage>(bytes);
  if (image.magic != kMagic || image.crc32c != checksum(image)) {
    return damaged("does not match its checksum");
  }
  if (image.version != kVersion) {
    return error(Errc::kUnsupported, "the identity file has version " +
                                         std::to_string(image.version) +
                                         "; this release knows version 1");
  }
  return Identity{.token = image.token, .id = ChunkserverId(image.id)};
}

io::Task<Result<Identity>> load_or_create_identity(io::Disk& disk, io::Entropy& entropy) {
  auto content = co_await io::read_file(disk, kFileName, 4096);
  if (content) co_return decode_identity(content->view());
  if (content.code() != Errc::kNotFound) co_return content.error();
  Identity identity;
  entropy.fill(identity.token);
  CO_TRY(co_await save_identity(disk, identity));
  co_return identity;
}

io::Task<Status> save_identity(io::Disk& disk, Identity identity) {
  co_return co_await io::replace_file(disk, kFileName, encode(identity));
}

}  // namespace cairn::chunkserver
