/// Negotiation: the fixed newstyle handshake of one connection, up to an export and its features.
///
/// Not on any hot path, so it reads like the protocol's document: a coroutine that takes bytes from
/// an input and answers one option after the other. All sizes are limited before memory is taken.
/// Threads: the reactor's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gateway/nbd/export.h"
#include "gateway/nbd/option.h"
#include "gateway/nbd/request.h"
#include "io/env.h"
#include "io/sync.h"

namespace cairn::nbd {

/// Bytes that arrived and were not looked at yet.
class HandshakeInput {
 public:
  /// No option that makes sense is larger; a client that sends more at once is paused by its owner.
  static constexpr size_t kBytesMax = 64 * kKiB;

  explicit HandshakeInput(io::Executor& executor) : arrived_(executor) {}

  void append(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    arrived_.notify_all();
  }
  void close() {
    is_closed_ = true;
    arrived_.notify_all();
  }
  size_t room_bytes() const { return kBytesMax - std::min(bytes_.size(), kBytesMax); }

  /// Removes exactly `size_bytes`, at most kBytesMax; nothing when the connection is gone.
  io::Task<std::optional<Bytes>> take(size_t size_bytes);
  /// Called when take() has made room.
  std::function<void()> on_room;

  /// What is left when the handshake is over: the first requests.
  Bytes release() { return std::move(bytes_); }

 private:
  Bytes bytes_;
  bool is_closed_ = false;
  io::Event arrived_;
};

struct Negotiated {
  std::shared_ptr<Export> exported;  ///< shared with the other connections of the export
  Agreement agreement;
};

class Negotiation {
 public:
  Negotiation(io::Env env, ExportSource& source, HandshakeInput& input,
              std::function<void(Bytes)> send)
      : env_(env), source_(source), input_(input), send_(std::move(send)) {}

  /// Errors: kClosed    the client left or aborted: nothing to report;
  ///         others     why the connection has to be closed.
  io::Task<Result<Negotiated>> run();

 private:
  /// After an option: go on, or the transmission begins.
  using Step = Result<std::optional<Negotiated>>;

  io::Task<Step> answer(OptionHeader header, Bytes data);
  io::Task<Step> answer_export_name(Bytes data);
  io::Task<Step> answer_query(Option option, Bytes data);
  io::Task<Step> answer_list(Bytes data);
  io::Task<Step> answer_meta(Option option, Bytes data);
  Step answer_structured_reply(const Bytes& data);

  Agreement agreement_for(const Export& exported) const;
  ExportFacts facts_of(const Export& exported) const;
  void reply(Option option, OptionReply type, ByteView data = {}) {
    send_(encode_option_reply(option, type, data));
  }
  void refuse(Option option, OptionReply type, std::string_view text) {
    send_(encode_option_error(option, type, text));
  }
  void refuse(Option option, const Error& error);

  /// More options than any client has use for.
  static constexpr size_t kOptionsMax = 1024;

  io::Env env_;
  ExportSource& source_;
  HandshakeInput& input_;
  std::function<void(Bytes)> send_;
  bool no_zeroes_ = false;
  bool has_structured_replies_ = false;
  /// The export for which base:allocation was selected; it holds for that name alone.
  std::optional<std::string> allocation_of_;
};

}  // namespace cairn::nbd
