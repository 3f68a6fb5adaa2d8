#include "rpc/message.h"

#include <google/protobuf/message_lite.h>

#include "wire/rpc_error.pb.h"

namespace cairn::rpc {

namespace {
/// Fits kLimitsBeforeWelcome, so that a refusal can always be read.
constexpr size_t kErrorTextBytesMax = 900;
}  // namespace

Result<OutgoingFrame> encode(FrameKind kind, wire::Method method,
                             const google::protobuf::MessageLite& header,
                             std::vector<Buffer> attachment, FrameLimits limits) {
  const size_t header_bytes = header.ByteSizeLong();
  if (header_bytes > limits.header_bytes_max) {
    return error(Errc::kInvalidArgument,
                 "a message of " + std::to_string(header_bytes) + " bytes, the limit is " +
                     std::to_string(limits.header_bytes_max) + "; nothing was sent");
  }
  OutgoingFrame frame = allocate_frame(kind, method, header_bytes);
  auto* begin = reinterpret_cast<uint8_t*>(header_of(frame).data());
  const uint8_t* end = header.SerializeWithCachedSizesToArray(begin);
  CHECK(end == begin + header_bytes, "a message changed while it was serialized");
  close_header(frame);
  if (!attachment.empty()) {
    TRY(attach(frame, std::move(attachment), limits.attachment_bytes_max));
  }
  return frame;
}

bool decode(ByteView header, google::protobuf::MessageLite& into) {
  return into.ParseFromArray(header.data(), static_cast<int>(header.size()));
}

OutgoingFrame encode_error(wire::Method method, const Error& error) {
  wire::RpcError message;
  message.set_code(static_cast<uint32_t>(error.code()));
  std::string text = error.message().substr(0, kErrorTextBytesMax);
  // A cut may have split a character.
  while (!text.empty() && text.size() == kErrorTextBytesMax && (text.back() & 0x80)) {
    text.pop_back();
  }
  message.set_message(std::move(text));
  auto frame = encode(FrameKind::kError, method, message, {}, kLimitsBeforeWelcome);
  return std::move(frame).value();
}

Error decode_error(ByteView header) {
  wire::RpcError message;
  if (!decode(header, message)) return error(Errc::kProtocol, "an error that cannot be read");
  const bool known = message.code() > 0 && message.code() <= static_cast<uint32_t>(Errc::kInternal);
  if (!known) {
    return error(Errc::kInternal,
                 "error code " + std::to_string(message.code()) + ": " + message.message());
  }
  return Error(static_cast<Errc>(message.code()), message.message());
}

}  // namespace cairn::rpc
