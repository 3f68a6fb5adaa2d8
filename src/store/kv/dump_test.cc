#include "store/kv/dump.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"

namespace cairn::kv {
namespace {

std::string dump_of(const Content& content) {
  std::string bytes;
  DumpWriter writer(content.mark, [&](ByteView piece) { bytes += as_text(piece); });
  for (const auto& pair : content.pairs) writer.add(pair);
  writer.finish();
  return bytes;
}
Result<Content> decoded(std::string_view bytes) {
  return decode_dump(as_bytes(bytes));
}
const Content kSample{.mark = "applied 7",
                      .pairs = {{"a", ""}, {"b", std::string("\0\xff", 2)}, {"c", "3"}}};

TEST(Dump, ComesBackAsItWas) {
  for (const Content& content : {kSample, Content(), Content{.mark = "m", .pairs = {}}}) {
    const auto back = decoded(dump_of(content));
    ASSERT_TRUE(back.ok()) << back.error().describe();
    EXPECT_EQ(back->mark, content.mark);
    EXPECT_EQ(back->pairs, content.pairs);
  }
}

/// The format that is out there; docs/formats/meta.md.
TEST(Dump, BytesAreTheDocumentedOnes) {
  const std::string bytes = dump_of({.mark = "m", .pairs = {{"k", "vw"}}});
  const std::string before_crc = std::string("CRNDUMP\n\x01\0\0\0\x01\0\0\0m", 17) +
                                 std::string("\x01\0\0\0\x02\0\0\0kvw", 11) +
                                 std::string("\0\0\0\0\0\0\0\0", 8) +
                                 std::string("\x01\0\0\0\0\0\0\0\0\0\0\0", 12);
  ASSERT_EQ(bytes.size(), before_crc.size() + 4);
  EXPECT_EQ(bytes.substr(0, before_crc.size()), before_crc);
  EXPECT_EQ(load<uint32_t>(as_bytes(bytes).last(4)), crc32c(as_bytes(before_crc)));
}

TEST(Dump, NoByteCanChangeOrBeMissingUnnoticed) {
  const std::string bytes = dump_of(kSample);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string rotten = bytes;
    rotten[i] = static_cast<char>(rotten[i] ^ 0x11);
    EXPECT_FALSE(decoded(rotten).ok()) << "byte " << i;
    EXPECT_EQ(decoded(bytes.substr(0, i)).code(), Errc::kCorrupt) << "cut at " << i;
  }
  EXPECT_EQ(decoded(bytes + "x").code(), Errc::kCorrupt);
}

TEST(Dump, ANewerVersionIsNotGuessedAt) {
  std::string bytes = dump_of(kSample);
  bytes[8] = 2;
  EXPECT_EQ(decoded(bytes).code(), Errc::kUnsupported);
}

}  // namespace
}  // namespace cairn::kv
