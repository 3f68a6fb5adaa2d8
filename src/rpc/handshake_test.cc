#include "rpc/handshake.h"

#include <gtest/gtest.h>

#include "rpc/message.h"

namespace cairn::rpc {
namespace {

Nonce nonce(uint8_t first) {
  Nonce value{};
  value[0] = static_cast<std::byte>(first);
  return value;
}

const ClusterKey kKey{"0123456789abcdef"};

TEST(Handshake, AProofDependsOnKeyRoleAndBothNonces) {
  const Proof proof = prove(kKey, Role::kClient, nonce(1), nonce(2));
  EXPECT_TRUE(same_proof(proof, prove(kKey, Role::kClient, nonce(1), nonce(2))));
  EXPECT_FALSE(same_proof(proof, prove(kKey, Role::kServer, nonce(1), nonce(2))));
  EXPECT_FALSE(same_proof(proof, prove(kKey, Role::kClient, nonce(3), nonce(2))));
  EXPECT_FALSE(same_proof(proof, prove(kKey, Role::kClient, nonce(1), nonce(3))));
  EXPECT_FALSE(same_proof(proof, prove(kKey, Role::kClient, nonce(2), nonce(1))));
  EXPECT_FALSE(same_proof(proof, prove({"0123456789abcdeg"}, Role::kClient, nonce(1), nonce(2))));
}

TEST(ClusterKey, AKeyFileMayEndWithANewlineButNotBeShort) {
  auto key = parse_cluster_key("  0123456789abcdef\r\n");
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(key->secret, kKey.secret);
  EXPECT_EQ(parse_cluster_key("0123456789abcde\n").code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse_cluster_key(" \n").code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse_cluster_key("").code(), Errc::kInvalidArgument);
}

TEST(Message, ALongErrorIsCutAndStillFitsWhatAnUnprovenPeerReads) {
  std::string text(899, 'x');
  for (int i = 0; i < 600; ++i) text += "\xc3\xa9";  // a character of two bytes, cut in the middle
  const OutgoingFrame frame =
      encode_error(wire::Method::kPing, error(Errc::kNoSpace, std::move(text)));
  EXPECT_LE(frame.prefix.header_bytes, kLimitsBeforeWelcome.header_bytes_max);
  const Error read = decode_error(frame.head.view().subspan(kPrefixBytes));
  EXPECT_EQ(read.code(), Errc::kNoSpace);
  EXPECT_EQ(read.message(), std::string(899, 'x'));
}

TEST(Message, AnErrorMayQuoteWhatIsNotText) {
  const OutgoingFrame frame =
      encode_error(wire::Method::kPing, error(Errc::kNotFound, "no volume \xff\xfe"));
  const Error read = decode_error(frame.head.view().subspan(kPrefixBytes));
  EXPECT_EQ(read.code(), Errc::kNotFound);
  EXPECT_EQ(read.message(), "no volume \xff\xfe");
}

TEST(Message, AnErrorCodeOfANewerPeerIsAnInternalError) {
  const Error read = decode_error(as_bytes(std::string_view("\x08\xc8\x01", 3)));
  EXPECT_EQ(read.code(), Errc::kInternal);
  EXPECT_NE(read.message().find("200"), std::string::npos);
  EXPECT_EQ(decode_error(as_bytes("\xff\xff")).code(), Errc::kProtocol);
}

}  // namespace
}  // namespace cairn::rpc
