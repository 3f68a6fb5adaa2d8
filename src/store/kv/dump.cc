#include "store/kv/dump.h"

#include "base/crc32c.h"

namespace cairn::kv {

DumpWriter::DumpWriter(std::string_view mark, std::function<void(ByteView)> sink)
    : sink_(std::move(sink)) {
  CHECK(mark.size() <= kMarkBytesMax);
  DumpHead head{};
  std::memcpy(head.magic, kDumpMagic, sizeof(kDumpMagic));
  head.version = kDumpVersion;
  head.mark_bytes = static_cast<uint32_t>(mark.size());
  write(bytes_of(head));
  write(as_bytes(mark));
}

void DumpWriter::write(ByteView bytes) {
  if (bytes.empty()) return;
  crc_ = crc32c(bytes, crc_);
  sink_(bytes);
}

void DumpWriter::add(const KeyValue& pair) {
  CHECK(check_key(pair.key).ok() && pair.value.size() <= kValueBytesMax);
  CHECK(pairs_count_ == 0 || last_key_ < pair.key, "a dump's keys ascend");
  const DumpPairHead head{.key_bytes = static_cast<uint32_t>(pair.key.size()),
                          .value_bytes = static_cast<uint32_t>(pair.value.size())};
  write(bytes_of(head));
  write(as_bytes(pair.key));
  write(as_bytes(pair.value));
  last_key_ = pair.key;
  ++pairs_count_;
}

void DumpWriter::finish() {
  write(bytes_of(DumpPairHead{}));
  DumpEnd end{};
  end.pairs_count = pairs_count_;
  const ByteView bytes = bytes_of(end);
  write(bytes.first(offsetof(DumpEnd, crc32c)));
  const uint32_t crc = crc_;
  write(bytes_of(crc));
}

namespace {

/// Takes bytes from the front; kCorrupt where there are not enough.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes), all_(bytes) {}

  Result<std::string_view> text(size_t size_bytes) {
    if (rest_.size() < size_bytes) return shortened();
    const std::string_view taken = as_text(rest_.first(size_bytes));
    rest_ = rest_.subspan(size_bytes);
    return taken;
  }
  template <typename T>
  Result<T> take() {
    return load<T>(as_bytes(TRY(text(sizeof(T)))));
  }
  uint64_t offset_bytes() const { return all_.size() - rest_.size(); }
  ByteView before() const { return all_.first(offset_bytes()); }
  bool at_end() const { return rest_.empty(); }
  Error corrupt(std::string_view what) const {
    return error(Errc::kCorrupt, "a dump of metadata: " + std::string(what) + ", at byte " +
                                     std::to_string(offset_bytes()) + " of " +
                                     std::to_string(all_.size()));
  }

 private:
  Error shortened() const { return corrupt("it ends too soon"); }
  ByteView rest_;
  ByteView all_;
};

Status decode_end(Reader& reader, size_t pairs_count) {
  const uint64_t counted = TRY(reader.take<uint64_t>());
  TRY(reader.take<uint32_t>());
  const uint32_t expected = crc32c(reader.before());
  if (TRY(reader.take<uint32_t>()) != expected) return reader.corrupt("the checksum differs");
  if (counted != pairs_count) return reader.corrupt("the number of pairs differs");
  if (!reader.at_end()) return reader.corrupt("something follows its end");
  return ok();
}

Result<KeyValue> decode_pair(Reader& reader, DumpPairHead head, std::string_view after) {
  if (head.key_bytes > kKeyBytesMax || head.value_bytes > kValueBytesMax) {
    return reader.corrupt("a pair is too large");
  }
  KeyValue pair;
  pair.key = TRY(reader.text(head.key_bytes));
  pair.value = TRY(reader.text(head.value_bytes));
  if (!check_key(pair.key).ok()) return reader.corrupt("a key that cannot be");
  if (pair.key <= after) return reader.corrupt("keys do not ascend");
  return pair;
}

}  // namespace

Result<Content> decode_dump(ByteView bytes) {
  Reader reader(bytes);
  const DumpHead head = TRY(reader.take<DumpHead>());
  if (std::memcmp(head.magic, kDumpMagic, sizeof(kDumpMagic)) != 0) {
    return reader.corrupt("it does not begin as one");
  }
  if (head.version != kDumpVersion) {
    return error(Errc::kUnsupported, "a dump of metadata of version " +
                                         std::to_string(head.version) + "; this program knows " +
                                         std::to_string(kDumpVersion));
  }
  if (head.mark_bytes > kMarkBytesMax) return reader.corrupt("the mark is too large");
  Content content;
  content.mark = TRY(reader.text(head.mark_bytes));
  for (;;) {
    const DumpPairHead next = TRY(reader.take<DumpPairHead>());
    if (next.key_bytes == 0) break;
    const std::string_view after =
        content.pairs.empty() ? std::string_view() : content.pairs.back().key;
    content.pairs.push_back(TRY(decode_pair(reader, next, after)));
  }
  TRY(decode_end(reader, content.pairs.size()));
  return content;
}

}  // namespace cairn::kv
