#include "multiraft/codec.h"

#include <gtest/gtest.h>

#include "base/units.h"

namespace cairn::multiraft {
namespace {

const GroupId kGroup{3};

raft::Message append_message() {
  raft::Message message;
  message.type = raft::MessageType::kAppend;
  message.from = NodeId(1);
  message.to = NodeId(2);
  message.term = Term(5);
  message.log_term = Term(4);
  message.index = LogIndex(10);
  message.commit = LogIndex(9);
  for (uint64_t i = 11; i <= 13; ++i) {
    raft::Entry entry;
    entry.term = Term(5);
    entry.index = LogIndex(i);
    entry.head = Buffer::copy_of("head" + std::to_string(i));
    if (i != 12) {
      entry.payload.size_bytes = static_cast<uint32_t>(kBlockBytes);
      entry.payload.bytes = Buffer::copy_of(std::string(kBlockBytes, static_cast<char>(i)));
    }
    message.entries.push_back(entry);
  }
  return message;
}

struct Encoded {
  wire::RaftMessage message;
  Buffer attachment;
};
Encoded encoded(const raft::Message& message) {
  Encoded result;
  std::vector<Buffer> parts;
  encode(kGroup, message, &result.message, &parts);
  std::string joined;
  for (const Buffer& part : parts) joined += as_text(part.view());
  result.attachment = Buffer::copy_of(joined);
  return result;
}
Errc code_of(const Encoded& from) {
  size_t offset = 0;
  return decode(from.message, from.attachment, &offset).code();
}

TEST(RaftCodec, AnAppendComesBackWithItsPayloads) {
  const raft::Message sent = append_message();
  const Encoded on_wire = encoded(sent);
  EXPECT_EQ(on_wire.message.group(), 3u);
  size_t offset = 0;
  const raft::Message got = decode(on_wire.message, on_wire.attachment, &offset).value();
  EXPECT_EQ(offset, 2 * kBlockBytes);
  EXPECT_EQ(got.type, sent.type);
  EXPECT_EQ(got.from, sent.from);
  EXPECT_EQ(got.to, sent.to);
  EXPECT_EQ(got.term, sent.term);
  EXPECT_EQ(got.log_term, sent.log_term);
  EXPECT_EQ(got.index, sent.index);
  EXPECT_EQ(got.commit, sent.commit);
  ASSERT_EQ(got.entries.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got.entries[i].index, sent.entries[i].index);
    EXPECT_EQ(as_text(got.entries[i].head.view()), as_text(sent.entries[i].head.view()));
    EXPECT_EQ(as_text(got.entries[i].payload.bytes.view()),
              as_text(sent.entries[i].payload.bytes.view()));
  }
}

TEST(RaftCodec, ARejectionComesBackWithItsHint) {
  raft::Message sent;
  sent.type = raft::MessageType::kAppendResponse;
  sent.from = NodeId(1);
  sent.to = NodeId(2);
  sent.term = Term(5);
  sent.reject = true;
  sent.reject_hint = LogIndex(6);
  sent.context = Buffer::copy_of("context");
  const Encoded on_wire = encoded(sent);
  size_t offset = 0;
  const raft::Message got = decode(on_wire.message, on_wire.attachment, &offset).value();
  EXPECT_TRUE(got.reject);
  EXPECT_EQ(got.reject_hint, LogIndex(6));
  EXPECT_EQ(as_text(got.context.view()), "context");
}

raft::Message snapshot_message() {
  raft::Snapshot snapshot;
  snapshot.metadata.index = LogIndex(40);
  snapshot.metadata.term = Term(4);
  snapshot.metadata.conf_state.voters = {NodeId(1), NodeId(2)};
  snapshot.metadata.conf_state.learners = {NodeId(3)};
  snapshot.metadata.conf_state.voters_outgoing = {NodeId(1), NodeId(4)};
  snapshot.metadata.conf_state.learners_next = {NodeId(4)};
  snapshot.metadata.conf_state.auto_leave = true;
  snapshot.data = Buffer::copy_of("state");
  raft::Message message;
  message.type = raft::MessageType::kSnapshot;
  message.from = NodeId(1);
  message.to = NodeId(2);
  message.term = Term(5);
  message.snapshot = std::make_shared<const raft::Snapshot>(snapshot);
  return message;
}

TEST(RaftCodec, ASnapshotComesBackWithItsConfiguration) {
  const Encoded on_wire = encoded(snapshot_message());
  size_t offset = 0;
  const raft::Message got = decode(on_wire.message, on_wire.attachment, &offset).value();
  const auto& state = got.snapshot->metadata.conf_state;
  EXPECT_EQ(got.snapshot->metadata.index, LogIndex(40));
  EXPECT_EQ(state.voters, (std::vector{NodeId(1), NodeId(2)}));
  EXPECT_EQ(state.learners, std::vector{NodeId(3)});
  EXPECT_EQ(state.voters_outgoing, (std::vector{NodeId(1), NodeId(4)}));
  EXPECT_EQ(state.learners_next, std::vector{NodeId(4)});
  EXPECT_TRUE(state.auto_leave);
  EXPECT_EQ(as_text(got.snapshot->data.view()), "state");
}

TEST(RaftCodec, RefusesWhatNoPeerSends) {
  Encoded bad = encoded(append_message());
  bad.message.set_type(raft::kMessageTypesCount);
  EXPECT_EQ(code_of(bad), Errc::kProtocol);
  bad.message.set_type(static_cast<uint32_t>(raft::MessageType::kHup));
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "a local message";
  bad = encoded(append_message());
  bad.message.set_from(raft::kAppendThread.value());
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "a reserved node";
  bad = encoded(append_message());
  bad.message.set_term(0);
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "the core takes term 0 for its own host's";
  bad = encoded(snapshot_message());
  bad.message.clear_snapshot();
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "a snapshot message without one";
  bad = encoded(snapshot_message());
  bad.message.mutable_snapshot()->mutable_conf_state()->clear_voters();
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "a mark without voters could not be read back";
}

TEST(RaftCodec, RefusesEntriesThatMakeNoSense) {
  Encoded bad = encoded(append_message());
  bad.message.mutable_entries(1)->set_index(99);
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "a gap";
  bad = encoded(append_message());
  bad.message.mutable_entries(1)->set_type(9);
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "an unknown type";
  bad = encoded(append_message());
  bad.message.mutable_entries(2)->set_payload_bytes(8 * kBlockBytes);
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "beyond the attachment";
  bad = encoded(append_message());
  bad.message.mutable_entries(2)->set_payload_bytes(100);
  EXPECT_EQ(code_of(bad), Errc::kProtocol) << "not whole blocks";
}

TEST(RaftCodec, AMarkComesBackAndADamagedOneIsToldApart) {
  const raft::Message message = snapshot_message();
  const Buffer mark = encode_mark(*message.snapshot);
  const raft::SnapshotPtr got = decode_mark(mark.view()).value();
  EXPECT_EQ(got->metadata.index, LogIndex(40));
  EXPECT_EQ(got->metadata.term, Term(4));
  EXPECT_EQ(got->metadata.conf_state.voters, message.snapshot->metadata.conf_state.voters);
  EXPECT_EQ(as_text(got->data.view()), "state");
  EXPECT_EQ(decode_mark({}).code(), Errc::kCorrupt);
  EXPECT_TRUE(decode_mark(encode_mark(raft::Snapshot()).view()).value()->empty()) << "blank";
  EXPECT_EQ(decode_mark(mark.view().first(mark.size_bytes() - 3)).code(), Errc::kCorrupt);
}

TEST(RaftCodec, AGroupsStateComesBack) {
  const Buffer bytes = encode(GroupState{.epoch = Epoch(9), .machine = Buffer::copy_of("machine")});
  const GroupState got = decode_group_state(bytes.view()).value();
  EXPECT_EQ(got.epoch, Epoch(9));
  EXPECT_EQ(as_text(got.machine.view()), "machine");
  EXPECT_EQ(decode_group_state(as_bytes("\xff\xff\xff")).code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::multiraft
