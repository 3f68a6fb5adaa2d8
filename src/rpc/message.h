/// Protobuf messages as the headers of frames.
#pragma once

#include "rpc/frame.h"

namespace google::protobuf {
class MessageLite;
}

namespace cairn::rpc {

/// Serializes straight into the frame's buffer. kInvalidArgument above a limit.
Result<OutgoingFrame> encode(FrameKind kind, wire::Method method,
                             const google::protobuf::MessageLite& header,
                             std::vector<Buffer> attachment, FrameLimits limits);
bool decode(ByteView header, google::protobuf::MessageLite& into);

/// An error frame; a long message is cut.
OutgoingFrame encode_error(wire::Method method, const Error& error);
/// A header that cannot be read is itself an error (kProtocol).
Error decode_error(ByteView header);

}  // namespace cairn::rpc
