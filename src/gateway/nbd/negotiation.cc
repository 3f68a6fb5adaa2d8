#include "gateway/nbd/negotiation.h"

namespace cairn::nbd {
namespace {

Error left() {
  return error(Errc::kClosed, "the client left during the handshake");
}

std::string number(Option option) {
  return std::to_string(static_cast<uint32_t>(option));
}

}  // namespace

io::Task<std::optional<Bytes>> HandshakeInput::take(size_t size_bytes) {
  CHECK(size_bytes <= kBytesMax);
  while (bytes_.size() < size_bytes && !is_closed_) co_await arrived_.wait_next();
  if (bytes_.size() < size_bytes) co_return std::nullopt;
  const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(size_bytes);
  Bytes taken(bytes_.begin(), end);
  bytes_.erase(bytes_.begin(), end);
  if (on_room) on_room();
  co_return std::move(taken);
}

io::Task<Result<Negotiated>> Negotiation::run() {
  send_(encode_greeting());
  auto flag_bytes = co_await input_.take(sizeof(uint32_t));
  if (!flag_bytes) co_return left();
  const uint32_t flags = get<uint32_t>(*flag_bytes);
  if ((flags & ~uint32_t{kFixedNewstyle | kNoZeroes}) != 0) {
    co_return error(Errc::kProtocol, "the client set unknown handshake flags " +
                                         std::to_string(flags) + "; is it an NBD client?");
  }
  no_zeroes_ = (flags & kNoZeroes) != 0;
  for (size_t i = 0; i < kOptionsMax; ++i) {
    auto head = co_await input_.take(kOptionHeaderBytes);
    if (!head) co_return left();
    const auto header = decode_option_header(*head);
    if (!header) co_return error(Errc::kProtocol, "an option does not begin with IHAVEOPT");
    if (header->data_bytes > HandshakeInput::kBytesMax) {
      refuse(header->option, OptionReply::kTooBig, "the option's data are too large");
      co_return error(Errc::kProtocol, "option " + number(header->option) + " announces " +
                                           std::to_string(header->data_bytes) +
                                           " bytes, more than any option has");
    }
    auto data = co_await input_.take(header->data_bytes);
    if (!data) co_return left();
    auto step = CO_TRY(co_await answer(*header, std::move(*data)));
    if (step) co_return std::move(*step);
  }
  co_return error(Errc::kProtocol,
                  "the handshake did not end after " + std::to_string(kOptionsMax) + " options");
}

io::Task<Negotiation::Step> Negotiation::answer(OptionHeader header, Bytes data) {
  switch (header.option) {
    case Option::kExportName:
      co_return co_await answer_export_name(std::move(data));
    case Option::kAbort:
      reply(Option::kAbort, OptionReply::kAck);
      co_return left();
    case Option::kList:
      co_return co_await answer_list(std::move(data));
    case Option::kInfo:
    case Option::kGo:
      co_return co_await answer_query(header.option, std::move(data));
    case Option::kStructuredReply:
      co_return answer_structured_reply(data);
    case Option::kListMetaContext:
    case Option::kSetMetaContext:
      co_return co_await answer_meta(header.option, std::move(data));
    case Option::kStartTls:
      refuse(header.option, OptionReply::kPolicy,
             "this server has no TLS; use a Unix socket or a trusted network");
      co_return std::nullopt;
  }
  refuse(header.option, OptionReply::kUnsupported,
         "option " + number(header.option) + " is not known to this server");
  co_return std::nullopt;
}

io::Task<Negotiation::Step> Negotiation::answer_export_name(Bytes data) {
  if (data.size() > kNameBytesMax) {
    co_return error(Errc::kProtocol, "the export's name is too long");
  }
  // This option has no error reply: the connection is closed instead.
  auto opened = co_await source_.open(std::string(as_text(data)));
  if (!opened.ok()) co_return opened.error();
  send_(encode_export_name_answer(facts_of(**opened), no_zeroes_));
  const Agreement agreement = agreement_for(**opened);
  co_return Negotiated{std::move(*opened), agreement};
}

io::Task<Negotiation::Step> Negotiation::answer_query(Option option, Bytes data) {
  const auto query = decode_export_query(data);
  if (!query) {
    refuse(option, OptionReply::kInvalid, "the option's data are malformed");
    co_return std::nullopt;
  }
  auto opened = co_await source_.open(query->name);
  if (!opened.ok()) {
    refuse(option, opened.error());
    co_return std::nullopt;
  }
  send_(encode_export_infos(option, *query, facts_of(**opened)));
  if (option == Option::kInfo) co_return std::nullopt;
  const Agreement agreement = agreement_for(**opened);
  co_return Negotiated{std::move(*opened), agreement};
}

io::Task<Negotiation::Step> Negotiation::answer_list(Bytes data) {
  if (!data.empty()) {
    refuse(Option::kList, OptionReply::kInvalid, "LIST has no data");
    co_return std::nullopt;
  }
  auto names = co_await source_.list();
  if (!names.ok()) {
    refuse(Option::kList, names.error());
    co_return std::nullopt;
  }
  for (const std::string& name : *names) send_(encode_list_entry(name, {}));
  reply(Option::kList, OptionReply::kAck);
  co_return std::nullopt;
}

Negotiation::Step Negotiation::answer_structured_reply(const Bytes& data) {
  if (!data.empty()) {
    refuse(Option::kStructuredReply, OptionReply::kInvalid, "STRUCTURED_REPLY has no data");
    return std::optional<Negotiated>();
  }
  has_structured_replies_ = true;
  reply(Option::kStructuredReply, OptionReply::kAck);
  return std::optional<Negotiated>();
}

io::Task<Negotiation::Step> Negotiation::answer_meta(Option option, Bytes data) {
  const bool is_list = option == Option::kListMetaContext;
  if (!is_list)
    allocation_of_.reset();  // every selection replaces the one before, a failed one too
  const auto query = decode_meta_query(data);
  if (!query || !has_structured_replies_) {
    refuse(option, OptionReply::kInvalid,
           query ? "negotiate structured replies first" : "the option's data are malformed");
    co_return std::nullopt;
  }
  auto opened = co_await source_.open(query->export_name);
  if (!opened.ok()) {
    refuse(option, opened.error());
    co_return std::nullopt;
  }
  if (asks_for_base_allocation(*query, is_list)) {
    send_(encode_meta_context(option));
    if (!is_list) allocation_of_ = (*opened)->traits().name;
  }
  reply(option, OptionReply::kAck);
  co_return std::nullopt;
}

Agreement Negotiation::agreement_for(const Export& exported) const {
  const ExportTraits& traits = exported.traits();
  return {traits.size_bytes, traits.is_read_only, has_structured_replies_,
          allocation_of_ == traits.name};
}

ExportFacts Negotiation::facts_of(const Export& exported) const {
  const ExportTraits& traits = exported.traits();
  ExportFacts facts;
  facts.size_bytes = traits.size_bytes;
  facts.name = traits.name;
  facts.description = traits.description;
  facts.flags = kHasFlags | kSendFlush | kSendFua | kCanMultiConn | kSendCache;
  facts.flags |= traits.is_read_only ? kReadOnly : (kSendTrim | kSendWriteZeroes | kSendFastZero);
  if (has_structured_replies_) facts.flags |= kSendDf;
  return facts;
}

void Negotiation::refuse(Option option, const Error& error) {
  OptionReply type = OptionReply::kPlatform;
  if (error.code() == Errc::kNotFound) type = OptionReply::kUnknown;
  if (error.code() == Errc::kInvalidArgument) type = OptionReply::kInvalid;
  if (error.code() == Errc::kClosed) type = OptionReply::kShutdown;
  env_.logger.info("an export was refused", {{"error", error.describe()}});
  refuse(option, type, error.message());
}

}  // namespace cairn::nbd
