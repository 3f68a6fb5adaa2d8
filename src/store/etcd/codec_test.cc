#include "store/etcd/codec.h"

#include <gtest/gtest.h>

namespace cairn::etcd {
namespace {

namespace pb = etcdserverpb;

Transaction sample() {
  Transaction transaction;
  transaction.compares.push_back(Compare::absent("a"));
  transaction.compares.push_back(Compare::created_at("b", Revision(7)));
  transaction.compares.push_back(Compare::holds("c", "see"));
  transaction.then.puts.push_back({"p", "1", LeaseId(5)});
  transaction.then.deletes.push_back({.first = "d", .end = "e"});
  transaction.then.reads.push_back({.first = "r", .end = "s", .entries_max = 3, .at = Revision(9)});
  transaction.otherwise.reads.push_back({.first = "b"});
  return transaction;
}

pb::TxnResponse answer_to_sample() {
  pb::TxnResponse reply;
  reply.mutable_header()->set_revision(12);
  reply.set_succeeded(true);
  auto* range = reply.add_responses()->mutable_response_range();
  range->set_more(true);
  auto* pair = range->add_kvs();
  pair->set_key("r1");
  pair->set_value("one");
  pair->set_create_revision(4);
  pair->set_lease(5);
  reply.add_responses()->mutable_response_put();
  reply.add_responses()->mutable_response_delete_range();
  return reply;
}

TEST(EtcdCodec, ATransactionIsSaidInEtcdsMessages) {
  const pb::TxnRequest request = encode(sample());
  ASSERT_EQ(request.compare_size(), 3);
  EXPECT_EQ(request.compare(0).target(), pb::Compare::CREATE);
  // A field that is absent would be no comparison with zero.
  EXPECT_TRUE(request.compare(0).has_create_revision());
  EXPECT_EQ(request.compare(1).create_revision(), 7);
  EXPECT_EQ(request.compare(2).target(), pb::Compare::VALUE);
  EXPECT_EQ(request.compare(2).value(), "see");
  ASSERT_EQ(request.success_size(), 3);
  EXPECT_EQ(request.success(0).request_range().limit(), 3);
  EXPECT_EQ(request.success(0).request_range().revision(), 9);
  EXPECT_EQ(request.success(1).request_put().lease(), 5);
  EXPECT_EQ(request.success(2).request_delete_range().range_end(), "e");
  ASSERT_EQ(request.failure_size(), 1);
  EXPECT_EQ(request.failure(0).request_range().key(), "b");
}

TEST(EtcdCodec, AnAnswerIsTakenApart) {
  const auto outcome = decode(sample(), answer_to_sample());
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->has_held);
  EXPECT_EQ(outcome->revision, Revision(12));
  ASSERT_EQ(outcome->reads.size(), 1u);
  EXPECT_TRUE(outcome->reads[0].has_more);
  ASSERT_EQ(outcome->reads[0].entries.size(), 1u);
  const Entry& entry = outcome->reads[0].entries[0];
  EXPECT_EQ(entry.key, "r1");
  EXPECT_EQ(entry.value, "one");
  EXPECT_EQ(entry.created, Revision(4));
  EXPECT_EQ(entry.lease, LeaseId(5));
}

TEST(EtcdCodec, AnAnswerThatDoesNotFitIsRefused) {
  auto too_few = answer_to_sample();
  too_few.mutable_responses()->RemoveLast();
  EXPECT_EQ(decode(sample(), too_few).code(), Errc::kProtocol);
  auto other_branch = answer_to_sample();
  other_branch.set_succeeded(false);
  EXPECT_EQ(decode(sample(), other_branch).code(), Errc::kProtocol);
  auto no_range = answer_to_sample();
  no_range.mutable_responses(0)->mutable_response_put();
  EXPECT_EQ(decode(sample(), no_range).code(), Errc::kProtocol);
  auto no_header = answer_to_sample();
  no_header.clear_header();
  EXPECT_EQ(decode(sample(), no_header).code(), Errc::kProtocol);
}

}  // namespace
}  // namespace cairn::etcd
