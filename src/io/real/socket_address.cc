#include "io/real/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/check.h"

namespace cairn::io::real {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

Error invalid(const Address& address, std::string_view why) {
  return error(Errc::kInvalidArgument, "'" + address.text + "' is no address (" + std::string(why) +
                                           "): expected 127.0.0.1:7000, [::1]:7000 or unix:/path");
}

Result<SocketAddress> parse_unix(const Address& address) {
  const std::string_view path = std::string_view(address.text).substr(kUnixPrefix.size());
  sockaddr_un name{};
  if (path.empty() || path.front() != '/') return invalid(address, "the path is not absolute");
  if (path.size() >= sizeof(name.sun_path)) return invalid(address, "the path is over 107 bytes");
  if (path.find('\0') != path.npos) return invalid(address, "a zero byte in the path");
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  SocketAddress parsed;
  std::memcpy(&parsed.storage, &name, sizeof(name));
  parsed.size_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return parsed;
}

}  // namespace

Result<SocketAddress> parse_address(const Address& address) {
  if (address.text.starts_with(kUnixPrefix)) return parse_unix(address);
  const std::string_view text = address.text;
  const auto colon = text.rfind(':');
  if (colon == text.npos) return invalid(address, "no port");
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc() || end != digits.data() + digits.size()) {
    return invalid(address, "the port is no number up to 65535");
  }
  const std::string_view host = text.substr(0, colon);
  SocketAddress parsed;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    const std::string literal(host.substr(1, host.size() - 2));
    if (::inet_pton(AF_INET6, literal.c_str(), &name.sin6_addr) != 1) {
      return invalid(address, "no literal IPv6 address");
    }
    std::memcpy(&parsed.storage, &name, sizeof(name));
    parsed.size_bytes = sizeof(name);
    return parsed;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  if (::inet_pton(AF_INET, std::string(host).c_str(), &name.sin_addr) != 1) {
    return invalid(address, "no literal IPv4 address");
  }
  std::memcpy(&parsed.storage, &name, sizeof(name));
  parsed.size_bytes = sizeof(name);
  return parsed;
}

Address format_address(const SocketAddress& address) {
  char host[INET6_ADDRSTRLEN] = {};
  if (address.family() == AF_INET) {
    const auto* name = reinterpret_cast<const sockaddr_in*>(&address.storage);
    CHECK(::inet_ntop(AF_INET, &name->sin_addr, host, sizeof(host)) != nullptr);
    return {std::string(host) + ":" + std::to_string(ntohs(name->sin_port))};
  }
  if (address.family() == AF_INET6) {
    const auto* name = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    CHECK(::inet_ntop(AF_INET6, &name->sin6_addr, host, sizeof(host)) != nullptr);
    return {"[" + std::string(host) + "]:" + std::to_string(ntohs(name->sin6_port))};
  }
  return {std::string(kUnixPrefix) + unix_path(address)};
}

std::string unix_path(const SocketAddress& address) {
  CHECK(address.family() == AF_UNIX);
  const auto* name = reinterpret_cast<const sockaddr_un*>(&address.storage);
  if (address.size_bytes <= offsetof(sockaddr_un, sun_path)) return {};
  return std::string(name->sun_path, ::strnlen(name->sun_path, sizeof(name->sun_path)));
}

}  // namespace cairn::io::real
