/// PeerDirectory: where the members of groups can be reached. Filled by whoever knows (a file, the
/// MDS), read by the transport.
/// Threads: one reactor.
#pragma once

#include <map>
#include <optional>

#include "base/ids.h"
#include "io/network.h"

namespace cairn::multiraft {

class PeerDirectory {
 public:
  /// True if this is news.
  bool set(NodeId node, io::Address address) {
    auto [found, is_new] = addresses_.try_emplace(node, address);
    if (!is_new && found->second == address) return false;
    found->second = std::move(address);
    return true;
  }
  void erase(NodeId node) { addresses_.erase(node); }
  const io::Address* find(NodeId node) const {
    auto found = addresses_.find(node);
    return found == addresses_.end() ? nullptr : &found->second;
  }
  const std::map<NodeId, io::Address>& all() const { return addresses_; }

 private:
  std::map<NodeId, io::Address> addresses_;
};

}  // namespace cairn::multiraft
