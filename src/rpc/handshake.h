/// The handshake's messages and proofs: challenge and response with HMAC-SHA-256.
///
/// The server's challenge is answered by the client's proof, that by the server's. The role is part
/// of what is signed, so a proof sent back to its author proves nothing.
/// Source: docs/formats/rpc.md.
#pragma once

#include <array>

#include "base/bytes.h"
#include "rpc/cluster_key.h"

namespace cairn::rpc {

using Nonce = std::array<std::byte, 32>;
using Proof = std::array<std::byte, 32>;

struct ChallengeBody {
  Nonce server_nonce;
};
static_assert(sizeof(ChallengeBody) == 32);

struct ProofBody {
  Nonce client_nonce;
  Proof client_proof;
};
static_assert(sizeof(ProofBody) == 64);

struct WelcomeBody {
  Proof server_proof;
};
static_assert(sizeof(WelcomeBody) == 32);

enum class Role : uint8_t { kClient, kServer };

Proof prove(const ClusterKey& key, Role role, const Nonce& server_nonce, const Nonce& client_nonce);
/// Takes the same time wherever the two differ.
bool same_proof(const Proof& a, const Proof& b);

/// What a person reads when the keys differ.
inline constexpr std::string_view kKeyDiffersText =
    "the cluster key differs: pass the same --key-file as the servers";

}  // namespace cairn::rpc
