/// Layout: which keys of etcd a cluster's metadata is kept in.
///
///   PREFIX/meta/KEY     the content of the MetaStore
///   PREFIX/active       the active MDS; bound to its lease, and so gone with it
///   PREFIX/member/NAME  each MDS that runs; bound to its lease
///   PREFIX/loading      while `cairn meta load` has not ended
/// Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/etcd/etcd.h"

namespace cairn::etcd {

inline constexpr size_t kPrefixBytesMax = 64;

class Layout {
 public:
  explicit Layout(std::string prefix) : prefix_(std::move(prefix) + "/") {}

  std::string content(std::string_view key) const { return prefix_ + "meta/" + std::string(key); }
  /// Back from content().
  std::string key_of(std::string_view content_key) const;
  std::string active() const { return prefix_ + "active"; }
  std::string member(std::string_view name) const {
    return prefix_ + "member/" + std::string(name);
  }
  std::string loading() const { return prefix_ + "loading"; }
  Range members() const { return all_with(member("")); }
  Range all_content() const { return all_with(content("")); }
  /// Pairs of the MetaStore whose keys begin with `prefix` and are greater than `after`.
  Range content_behind(std::string_view prefix, std::string_view after) const;

 private:
  static Range all_with(std::string prefix);
  std::string prefix_;
};

/// kInvalidArgument: 1 to kPrefixBytesMax printable characters, no space, no '/' at the end.
Status check_prefix(std::string_view prefix);

/// How an MDS is called in the keys above.
struct MemberName {
  std::string name;
  std::string address;
  bool operator==(const MemberName&) const = default;
};
std::string encode_member(const MemberName& member);
/// kCorrupt.
Result<MemberName> decode_member(std::string_view value);

}  // namespace cairn::etcd
