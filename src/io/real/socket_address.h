/// io::Address to and from the kernel's form of a socket address.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/result.h"
#include "io/network.h"

namespace cairn::io::real {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size_bytes = 0;

  int family() const { return storage.ss_family; }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// "127.0.0.1:7000", "[::1]:7000" or "unix:/path"; kInvalidArgument for all else. Names are not
/// looked up: that would block the reactor.
Result<SocketAddress> parse_address(const Address& address);

/// The inverse; "unix:" for a socket without a name.
Address format_address(const SocketAddress& address);

/// The path of a unix socket's address.
std::string unix_path(const SocketAddress& address);

}  // namespace cairn::io::real
