// Whose log it is and which: a lost, emptied, exchanged or copied directory is told from a new one.
#include "store/wal/incarnation.h"

#include "store/wal/wal_test.h"

namespace cairn::wal {
namespace {

class WalIncarnation : public WalTest {
 protected:
  WalIncarnation() { options.owner = 5; }
  void begin() {
    open();
    entry_and_wait(1, 1);
    close();
  }
  void empty_directory() {
    const auto names = world.run(host, disk.list("wal")).value();
    for (const auto& name : names) run_io(disk.remove("wal/" + name));
    run_io(disk.sync_directory("wal"));
  }
  Incarnation identity() {
    const auto loaded = world.run(host, load_incarnation(disk, "wal"));
    EXPECT_TRUE(loaded.ok() && *loaded);
    return loaded.ok() && *loaded ? **loaded : Incarnation{};
  }
  /// Nothing was changed by an open() that was refused.
  void expect_refused(Errc code) {
    const auto hash = disk.hash();
    const auto opened = try_open();
    EXPECT_EQ(opened.code(), code) << (opened.ok() ? "opened" : opened.error().describe());
    EXPECT_EQ(disk.hash(), hash);
  }
};

TEST_F(WalIncarnation, IsDrawnWithTheLogAndKept) {
  begin();
  open();
  const uint64_t token = wal->store_token();
  EXPECT_NE(token, 0u);
  EXPECT_EQ(identity(), (Incarnation{.token = token, .owner = 5}));
  reopen();
  EXPECT_EQ(wal->store_token(), token);
}

// Pitfall 19: a node that lost its log comes back under the same name and votes.
TEST_F(WalIncarnation, ALostLogIsNotANewOne) {
  begin();
  empty_directory();
  expect_refused(Errc::kNotFound);
  expect_refused(Errc::kNotFound);  // not the second time either
}

TEST_F(WalIncarnation, ALogWhoseFilesWereZeroedIsALostOne) {
  begin();
  const auto names = world.run(host, disk.list("wal")).value();
  for (const auto& name : names) {
    const std::string path = "wal/" + name;
    run_io(io::replace_file(disk, path, host.env().buffers.allocate_zeroed(options.segment_bytes)));
  }
  expect_refused(Errc::kNotFound);
}

TEST_F(WalIncarnation, AnEmptyDiskIsANewIncarnation) {
  begin();
  const uint64_t before = identity().token;
  empty_directory();
  run_io(disk.remove("wal.identity"));
  open();
  EXPECT_TRUE(recovered.empty());
  EXPECT_NE(wal->store_token(), before);
  EXPECT_EQ(identity().token, wal->store_token());
}

TEST_F(WalIncarnation, AnotherNodesDirectoryIsRefused) {
  begin();
  options.owner = 6;
  expect_refused(Errc::kPreconditionFailed);
  options.owner = 5;
  open();
  EXPECT_EQ(group(1)->entries.size(), 1u);
}

TEST_F(WalIncarnation, AnIncarnationThatIsNotTheRegisteredOneIsRefused) {
  begin();
  options.store_token = identity().token + 1;
  expect_refused(Errc::kPreconditionFailed);
}

TEST_F(WalIncarnation, SegmentsOfAnotherLogUnderThisIdentityAreRefused) {
  begin();
  run_io(save_incarnation(disk, "wal", {.token = 99, .owner = 5}));
  expect_refused(Errc::kCorrupt);
}

TEST_F(WalIncarnation, ALogWithoutItsFileGetsOneAgain) {
  begin();
  const Incarnation before = identity();
  run_io(disk.remove("wal.identity"));
  open();
  EXPECT_EQ(identity(), before);
  EXPECT_EQ(group(1)->entries.size(), 1u);
}

TEST_F(WalIncarnation, ARottenFileIsWrittenAgainFromTheLogAndIsNoLicenceForANewOne) {
  begin();
  const Incarnation before = identity();
  ASSERT_TRUE(disk.corrupt("wal.identity", 9, 1).ok());
  open();
  EXPECT_EQ(identity(), before);
  close();
  ASSERT_TRUE(disk.corrupt("wal.identity", 9, 1).ok());
  empty_directory();
  expect_refused(Errc::kNotFound);
}

TEST_F(WalIncarnation, ANewOwnerIsAddedToALogThatHadNone) {
  options.owner = 0;
  begin();
  EXPECT_EQ(identity().owner, 0u);
  options.owner = 5;
  open();
  EXPECT_EQ(identity().owner, 5u);
  close();
  options.owner = 0;
  open();
  EXPECT_EQ(identity().owner, 5u) << "whoever does not ask does not change it";
}

TEST(WalIncarnationFile, IsTheSameBytesForEver) {
  const Buffer bytes = encode_incarnation({.token = 0x1122334455667788, .owner = 7});
  constexpr std::string_view kGolden(
      "CWIN\x01\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x07\0\0\0\0\0\0\0\0\0\0\0", 28);
  EXPECT_EQ(as_text(bytes.view().first(kGolden.size())), kGolden);
  ASSERT_EQ(bytes.size_bytes(), 32u);
  EXPECT_EQ(decode_incarnation(bytes.view())->owner, 7u);
  for (size_t bit = 0; bit < 32 * 8; ++bit) {
    Buffer rotten = Buffer::copy_of(bytes.view());
    rotten.mutable_view()[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_EQ(decode_incarnation(rotten.view()).code(), Errc::kCorrupt) << bit;
  }
  EXPECT_EQ(decode_incarnation(bytes.view().first(31)).code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::wal
