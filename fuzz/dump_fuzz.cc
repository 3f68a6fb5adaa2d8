/// Dumps of metadata: whatever the bytes, the decoder ends with an error or with a content that can
/// be written again to the same bytes.
///
/// Input: a byte of flags (1: make the checksum right first, else nearly every mutation would end
/// at it), then the dump.
/// Links: cairn_kv
#include <algorithm>
#include <vector>

#include "base/crc32c.h"
#include "store/kv/dump.h"

namespace cairn::kv {
namespace {

void repair(std::vector<std::byte>& dump) {
  if (dump.size() < sizeof(uint32_t)) return;
  const MutableByteView all = dump;
  const uint32_t crc = crc32c(all.first(all.size() - sizeof(uint32_t)));
  std::ranges::copy(bytes_of(crc), all.last(sizeof(uint32_t)).begin());
}

void run(ByteView input) {
  if (input.empty()) return;
  std::vector<std::byte> dump(input.begin() + 1, input.end());
  if ((std::to_integer<int>(input[0]) & 1) != 0) repair(dump);
  const auto content = decode_dump(dump);
  if (!content) return;

  std::vector<std::byte> again;
  DumpWriter writer(content->mark,
                    [&](ByteView piece) { again.insert(again.end(), piece.begin(), piece.end()); });
  for (const auto& pair : content->pairs) writer.add(pair);
  writer.finish();
  const auto back = decode_dump(again);
  CHECK(back.ok(), "what was written anew is no dump");
  CHECK(back->mark == content->mark && back->pairs == content->pairs);
}

}  // namespace
}  // namespace cairn::kv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::kv::run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
