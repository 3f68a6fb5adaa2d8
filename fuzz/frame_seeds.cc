/// Seeds of frame_fuzz: what really travels.
/// Links: cairn_rpc
#include "fuzz/seeds.h"
#include "rpc/handshake.h"
#include "rpc/message.h"
#include "wire/chunk.pb.h"

namespace cairn::rpc {
namespace {

class Stream {
 public:
  explicit Stream(uint8_t flags) : bytes_{static_cast<std::byte>(flags), std::byte{7}} {}
  void add(OutgoingFrame frame, uint64_t call_id, uint32_t budget_ms) {
    seal(frame, call_id, budget_ms);
    append(frame.head.view());
    for (const Buffer& part : frame.attachment) append(part.view());
  }
  ByteView bytes() const { return bytes_; }

 private:
  void append(ByteView more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  std::vector<std::byte> bytes_;
};

OutgoingFrame a_write(size_t attachment_bytes) {
  wire::WriteChunkRequest request;
  request.mutable_target()->set_chunk(1234567);
  request.set_offset_bytes(8192);
  request.set_size_bytes(static_cast<uint32_t>(attachment_bytes));
  Buffer data = Buffer::allocate(attachment_bytes);
  std::ranges::fill(data.mutable_view(), std::byte{0x5a});
  auto frame =
      encode(FrameKind::kRequest, wire::Method::kWriteChunk, request, {std::move(data)}, {});
  return std::move(frame).value();
}

void write_all(const std::string& directory) {
  const ClusterKey key{"a key for the seeds of a fuzzer"};
  const Nonce nonce{};
  Stream handshake(0);
  handshake.add(make_frame(FrameKind::kChallenge, bytes_of(ChallengeBody{nonce})), 0, 0);
  handshake.add(make_frame(FrameKind::kProof,
                           bytes_of(ProofBody{nonce, prove(key, Role::kClient, nonce, nonce)})),
                0, 0);
  handshake.add(make_frame(FrameKind::kWelcome,
                           bytes_of(WelcomeBody{prove(key, Role::kServer, nonce, nonce)})),
                0, 0);
  fuzz::write_seed(directory, "handshake", handshake.bytes());
  for (const uint8_t flags : {0, 1}) {
    Stream calls(flags);
    calls.add(a_write(4096), 1, 250);
    calls.add(make_frame(FrameKind::kPing, {}), 0, 0);
    calls.add(a_write(0), 2, 1);
    calls.add(encode_error(wire::Method::kReadChunk, error(Errc::kNotFound, "no chunk 5")), 3, 0);
    calls.add(a_write(50'000), 4, 0);  // over the fuzzer's budget
    calls.add(make_frame(FrameKind::kPong, {}), 0, 0);
    fuzz::write_seed(directory, "calls-" + std::to_string(flags), calls.bytes());
  }
}

}  // namespace
}  // namespace cairn::rpc

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: frame_seeds DIRECTORY\n");
    return 2;
  }
  cairn::rpc::write_all(argv[1]);
}
