#include "kv/command.h"

#include <gtest/gtest.h>

namespace cairn::kv {
namespace {

WriteBatch sample(size_t value_bytes) {
  WriteBatch batch;
  batch.put("a", std::string(value_bytes, 'v'));
  batch.put("b", std::string("\0\xff", 2));
  batch.remove("c");
  batch.require("d", "");
  batch.require_absent("e");
  return batch;
}

TEST(Command, ComesBackAsItWasInTheHeadOrInThePayload) {
  BufferPool buffers;
  for (const size_t value_bytes : {size_t{10}, size_t{4000}, size_t{5000}, size_t{1} << 20}) {
    const WriteBatch batch = sample(value_bytes);
    const EncodedBatch encoded = encode_command(batch, buffers);
    EXPECT_EQ(encoded.payload.empty(), value_bytes <= 4000);
    EXPECT_EQ(encoded.payload.size_bytes() % 4096, 0u);
    const auto back = decode_command(encoded.head.view(), encoded.payload.view());
    ASSERT_TRUE(back.ok()) << back.error().describe();
    EXPECT_EQ(back->puts, batch.puts);
    EXPECT_EQ(back->deletes, batch.deletes);
    ASSERT_EQ(back->preconditions.size(), 2u);
    EXPECT_EQ(back->preconditions[0].expected, "");
    EXPECT_EQ(back->preconditions[1].expected, std::nullopt);
  }
}

TEST(Command, WhatCannotBeReadIsRefused) {
  BufferPool buffers;
  const EncodedBatch encoded = encode_command(sample(8000), buffers);
  EXPECT_EQ(decode_command(encoded.head.view(), ByteView()).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_command(as_bytes("\xff\xff"), ByteView()).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_command(ByteView(), ByteView()).code(), Errc::kUnsupported) << "no version";
}

TEST(AppliedMark, ComesBackAndIsChecked) {
  EXPECT_EQ(*decode_applied(""), 0u);
  std::string mark = encode_applied(77);
  EXPECT_EQ(*decode_applied(mark), 77u);
  for (size_t i = 0; i < mark.size(); ++i) {
    std::string rotten = mark;
    rotten[i] = static_cast<char>(rotten[i] ^ 1);
    EXPECT_EQ(decode_applied(rotten).code(), Errc::kCorrupt) << "byte " << i;
  }
  mark.pop_back();
  EXPECT_EQ(decode_applied(mark).code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::kv
