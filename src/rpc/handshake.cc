#include "rpc/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace cairn::rpc {

namespace {
constexpr std::string_view kWhiteSpace = " \t\r\n";
}

Result<ClusterKey> parse_cluster_key(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) text = {};
  if (!text.empty()) {
    text = text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
  }
  if (text.size() < kClusterKeyBytesMin) {
    return error(Errc::kInvalidArgument,
                 "a cluster key has at least " + std::to_string(kClusterKeyBytesMin) +
                     " characters, this one has " + std::to_string(text.size()));
  }
  return ClusterKey{std::string(text)};
}

Proof prove(const ClusterKey& key, Role role, const Nonce& server_nonce,
            const Nonce& client_nonce) {
  std::string text(role == Role::kClient ? "cairn rpc 1 client" : "cairn rpc 1 server");
  text += as_text(server_nonce);
  text += as_text(client_nonce);
  Proof proof;
  unsigned int proof_bytes = 0;
  const auto* done = HMAC(EVP_sha256(), key.secret.data(), static_cast<int>(key.secret.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                          reinterpret_cast<unsigned char*>(proof.data()), &proof_bytes);
  CHECK(done && proof_bytes == proof.size(), "HMAC-SHA-256 is not available");
  return proof;
}

bool same_proof(const Proof& a, const Proof& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace cairn::rpc
