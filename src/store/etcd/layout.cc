#include "store/etcd/layout.h"

#include <algorithm>

namespace cairn::etcd {

namespace {

/// The first key behind all that begin with `prefix`.
std::string end_of(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  CHECK(!prefix.empty(), "a prefix of the layout begins with a printable character");
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace

std::string Layout::key_of(std::string_view content_key) const {
  const std::string before = content("");
  CHECK(content_key.starts_with(before), "the key lies in the content's range");
  return std::string(content_key.substr(before.size()));
}

Range Layout::all_with(std::string prefix) {
  std::string end = end_of(prefix);
  return {.first = std::move(prefix), .end = std::move(end)};
}

Range Layout::content_behind(std::string_view prefix, std::string_view after) const {
  Range range = all_with(content(prefix));
  // With a zero byte behind it comes the next key that there can be.
  std::string behind = content(after) + '\0';
  if (!after.empty() && behind > range.first) range.first = std::move(behind);
  return range;
}

Status check_prefix(std::string_view prefix) {
  const bool is_sound =
      !prefix.empty() && prefix.size() <= kPrefixBytesMax && prefix.back() != '/' &&
      std::ranges::all_of(prefix, [](unsigned char c) { return c > ' ' && c < 0x7f; });
  if (is_sound) return ok();
  return error(Errc::kInvalidArgument,
               "the prefix of etcd's keys has 1 to " + std::to_string(kPrefixBytesMax) +
                   " printable characters without spaces and does not end with '/'; \"" +
                   std::string(prefix) + "\" is none");
}

std::string encode_member(const MemberName& member) {
  return member.name + " " + member.address;
}

Result<MemberName> decode_member(std::string_view value) {
  const size_t space = value.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == value.size()) {
    return error(Errc::kCorrupt, "\"" + std::string(value) +
                                     "\" in etcd is not the name and address of an MDS; do others "
                                     "use the same prefix?");
  }
  return MemberName{std::string(value.substr(0, space)), std::string(value.substr(space + 1))};
}

}  // namespace cairn::etcd
