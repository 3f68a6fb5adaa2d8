#include "chunkserver/peers_file.h"

#include "base/crc32c.h"
#include "wire/chunk.pb.h"
#include "wire/mds.pb.h"

namespace cairn::chunkserver {

namespace {

constexpr char kFileName[] = "peers";
constexpr uint32_t kMagic = 0x52504e43;  // "CNPR"
constexpr uint32_t kVersion = 1;
constexpr uint64_t kFileBytesMax = 4 * kMiB;

struct PeersHeader {
  uint32_t magic;
  uint32_t version;
  uint32_t body_bytes;
  uint32_t crc32c;  ///< of the body
};
static_assert(sizeof(PeersHeader) == 16);

}  // namespace

io::Task<Status> load_peers(io::Disk& disk, multiraft::PeerDirectory* peers) {
  auto content = co_await io::read_file(disk, kFileName, kFileBytesMax);
  if (content.code() == Errc::kNotFound) co_return ok();
  if (!content) co_return content.error();
  const auto damaged = error(Errc::kCorrupt, "the file of peers does not match its checksum");
  const ByteView bytes = content->view();
  if (bytes.size() < sizeof(PeersHeader)) co_return damaged;
  const auto header = load<PeersHeader>(bytes);
  const ByteView body = bytes.subspan(sizeof(PeersHeader));
  wire::HeartbeatReply list;
  if (header.magic != kMagic || header.version != kVersion || header.body_bytes != body.size() ||
      header.crc32c != crc32c(body) ||
      !list.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    co_return damaged;
  }
  for (const auto& peer : list.peers()) {
    peers->set(NodeId(peer.node()), io::Address{peer.address()});
  }
  co_return ok();
}

io::Task<Status> save_peers(io::Disk& disk, const multiraft::PeerDirectory* peers) {
  wire::HeartbeatReply list;
  for (const auto& [node, address] : peers->all()) {
    auto* peer = list.add_peers();
    peer->set_node(node.value());
    peer->set_address(address.text);
  }
  const std::string body = list.SerializeAsString();
  PeersHeader header{.magic = kMagic,
                     .version = kVersion,
                     .body_bytes = static_cast<uint32_t>(body.size()),
                     .crc32c = crc32c(as_bytes(body))};
  Buffer content = Buffer::allocate(sizeof(header) + body.size());
  store(content.mutable_view(), header);
  std::ranges::copy(as_bytes(body), content.mutable_view().begin() + sizeof(header));
  co_return co_await io::replace_file(disk, kFileName, std::move(content));
}

}  // namespace cairn::chunkserver
