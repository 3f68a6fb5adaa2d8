/// Seeds of dump_fuzz: dumps of nothing, of a few pairs, of many.
/// Links: cairn_kv
#include "fuzz/seeds.h"
#include "store/kv/dump.h"

namespace cairn::kv {
namespace {

std::string dump_of(const Content& content) {
  std::string bytes(1, '\1');
  DumpWriter writer(content.mark, [&](ByteView piece) { bytes += as_text(piece); });
  for (const auto& pair : content.pairs) writer.add(pair);
  writer.finish();
  return bytes;
}

void write_all(const std::string& directory) {
  Content many{.mark = "applied 12345", .pairs = {}};
  for (int i = 100; i < 200; ++i) {
    many.pairs.push_back({"volume/" + std::to_string(i), std::string(static_cast<size_t>(i), 'v')});
  }
  const Content few{.mark = "m", .pairs = {{"a", ""}, {"b", "2"}}};
  fuzz::write_seed(directory, "empty", as_bytes(dump_of({})));
  fuzz::write_seed(directory, "few", as_bytes(dump_of(few)));
  fuzz::write_seed(directory, "many", as_bytes(dump_of(many)));
}

}  // namespace
}  // namespace cairn::kv

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: dump_seeds DIRECTORY\n");
    return 2;
  }
  cairn::kv::write_all(argv[1]);
}
