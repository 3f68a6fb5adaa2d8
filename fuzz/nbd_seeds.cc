/// Seeds of nbd_fuzz: what clients really send.
/// Links: cairn_nbd
#include "fuzz/seeds.h"
#include "gateway/nbd/protocol.h"

namespace cairn::nbd {
namespace {

Bytes begin(uint8_t flags) {
  Bytes bytes;
  put(&bytes, flags);
  put(&bytes, uint8_t{9});
  return bytes;
}

void put_option(Bytes* into, Option option, const Bytes& data) {
  put(into, kOptionMagic);
  put(into, option);
  put(into, static_cast<uint32_t>(data.size()));
  into->insert(into->end(), data.begin(), data.end());
}

void put_request(Bytes* into, Command command, uint16_t flags, uint64_t offset, uint32_t size) {
  put(into, kRequestMagic);
  put(into, flags);
  put(into, command);
  put(into, uint64_t{42});
  put(into, offset);
  put(into, size);
  if (command == Command::kWrite) into->resize(into->size() + size, std::byte{0x5a});
}

void write_all(const std::string& directory) {
  Bytes shake = begin(0);
  put(&shake, uint32_t{3});
  put_option(&shake, Option::kList, {});
  put_option(&shake, Option::kStartTls, {});
  put_option(&shake, Option::kStructuredReply, {});
  Bytes meta;
  put(&meta, uint32_t{4});
  put_text(&meta, "disk");
  put(&meta, uint32_t{1});
  put(&meta, uint32_t{15});
  put_text(&meta, kBaseAllocation);
  put_option(&shake, Option::kListMetaContext, meta);
  put_option(&shake, Option::kSetMetaContext, meta);
  Bytes query;
  put(&query, uint32_t{4});
  put_text(&query, "disk");
  put(&query, uint16_t{2});
  put(&query, Info::kDescription);
  put(&query, Info::kName);
  put_option(&shake, Option::kInfo, query);
  put_option(&shake, Option::kGo, query);
  fuzz::write_seed(directory, "handshake", shake);

  for (const uint8_t flags : {1, 3}) {
    Bytes requests = begin(flags);
    put_request(&requests, Command::kWrite, kFua, 4000, 5000);
    put_request(&requests, Command::kRead, 0, 0, 70'000);
    put_request(&requests, Command::kWriteZeroes, kFastZero, 65'536, 65'536);
    put_request(&requests, Command::kTrim, 0, 1, 100);
    put_request(&requests, Command::kBlockStatus, kReqOne, 0, 200'000);
    put_request(&requests, Command::kCache, 0, 0, 4096);
    put_request(&requests, Command::kFlush, 0, 0, 0);
    put_request(&requests, Command::kWrite, 0, UINT64_MAX, 100);
    put_request(&requests, Command::kDisconnect, 0, 0, 0);
    fuzz::write_seed(directory, "requests-" + std::to_string(flags), requests);
  }
}

}  // namespace
}  // namespace cairn::nbd

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: nbd_seeds DIRECTORY\n");
    return 2;
  }
  cairn::nbd::write_all(argv[1]);
}
