// The two small files of a chunkserver: identity and peers.
#include "chunkserver/identity.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "chunkserver/peers_file.h"
#include "sim/io/world.h"

namespace cairn::chunkserver {
namespace {

Identity example() {
  Identity identity;
  for (size_t i = 0; i < identity.token.size(); ++i) identity.token[i] = std::byte(0xa0 + i);
  identity.id = ChunkserverId(0x0102030405060708);
  return identity;
}

TEST(Identity, HasTheBytesOfItsDocument) {
  // docs/formats/identity.md, written out by hand but for the checksum.
  const std::string before(
      "CNID"
      "\x01\x00\x00\x00"
      "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf"
      "\x08\x07\x06\x05\x04\x03\x02\x01"
      "\x00\x00\x00\x00",
      36);
  const Buffer bytes = encode(example());
  ASSERT_EQ(bytes.size_bytes(), 40u);
  EXPECT_EQ(as_text(bytes.view().first(36)), before);
  EXPECT_EQ(load<uint32_t>(bytes.view().subspan(36)), crc32c(as_bytes(before)));
  EXPECT_EQ(decode_identity(bytes.view()).value(), example());
}

TEST(Identity, AnyFlippedBitIsNoticed) {
  const Buffer good = encode(example());
  for (size_t bit = 0; bit < good.size_bytes() * 8; ++bit) {
    Buffer bad = Buffer::copy_of(good.view());
    bad.mutable_view()[bit / 8] ^= std::byte(1 << (bit % 8));
    ASSERT_EQ(decode_identity(bad.view()).code(), Errc::kCorrupt) << "bit " << bit;
  }
  EXPECT_EQ(decode_identity(good.view().first(39)).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_identity({}).code(), Errc::kCorrupt);
}

TEST(Identity, AVersionOfTheFutureIsToldFromDamage) {
  Buffer bytes = encode(example());
  store(bytes.mutable_view().subspan(4), uint32_t{2});
  store(bytes.mutable_view().subspan(36), crc32c(bytes.view().first(36)));
  EXPECT_EQ(decode_identity(bytes.view()).code(), Errc::kUnsupported);
}

TEST(Identity, ATokenIsDrawnOnceAndSurvivesAPowerLoss) {
  sim::World world(3);
  sim::Host& host = world.add_host("a");
  const auto load = [&] {
    return world.run(host, load_or_create_identity(host.disk(), host.env().entropy)).value();
  };
  const Identity first = load();
  EXPECT_TRUE(first.id.is_none());
  host.crash(sim::CrashKind::kPowerLoss);
  host.boot();
  EXPECT_EQ(load(), first);
  Identity named = first;
  named.id = ChunkserverId(9);
  ASSERT_TRUE(world.run(host, save_identity(host.disk(), named)).ok());
  host.crash(sim::CrashKind::kPowerLoss);
  host.boot();
  EXPECT_EQ(load(), named);
}

TEST(PeersFile, ComesBackAndAnyFlippedBitIsNoticed) {
  sim::World world(3);
  sim::Host& host = world.add_host("a");
  multiraft::PeerDirectory peers;
  ASSERT_TRUE(world.run(host, load_peers(host.disk(), &peers)).ok()) << "an absent file is empty";
  EXPECT_TRUE(peers.all().empty());
  peers.set(NodeId(1), io::Address{"10.0.0.1:9000"});
  peers.set(NodeId(2), io::Address{"10.0.0.2:9000"});
  ASSERT_TRUE(world.run(host, save_peers(host.disk(), &peers)).ok());
  multiraft::PeerDirectory got;
  ASSERT_TRUE(world.run(host, load_peers(host.disk(), &got)).ok());
  EXPECT_EQ(got.all(), peers.all());
  const size_t size = world.run(host, io::read_file(host.disk(), "peers", 4096))->size_bytes();
  for (size_t byte = 0; byte < size; ++byte) {
    ASSERT_TRUE(host.disk().corrupt("peers", byte, byte % 8).ok());
    multiraft::PeerDirectory none;
    ASSERT_EQ(world.run(host, load_peers(host.disk(), &none)).code(), Errc::kCorrupt) << byte;
    EXPECT_TRUE(none.all().empty());
    ASSERT_TRUE(host.disk().corrupt("peers", byte, byte % 8).ok());
  }
}

TEST(PeersFile, HasTheHeaderOfItsDocument) {
  sim::World world(3);
  sim::Host& host = world.add_host("a");
  multiraft::PeerDirectory peers;
  peers.set(NodeId(1), io::Address{"a:1"});
  ASSERT_TRUE(world.run(host, save_peers(host.disk(), &peers)).ok());
  const Buffer bytes = world.run(host, io::read_file(host.disk(), "peers", 4096)).value();
  const std::string body(
      "\x1a\x07\x08\x01\x12\x03"
      "a:1",
      9);
  EXPECT_EQ(as_text(bytes.view().first(4)), "CNPR");
  EXPECT_EQ(load<uint32_t>(bytes.view().subspan(4)), 1u);
  EXPECT_EQ(load<uint32_t>(bytes.view().subspan(8)), body.size());
  EXPECT_EQ(load<uint32_t>(bytes.view().subspan(12)), crc32c(as_bytes(body)));
  EXPECT_EQ(as_text(bytes.view().subspan(16)), body);
}

}  // namespace
}  // namespace cairn::chunkserver
