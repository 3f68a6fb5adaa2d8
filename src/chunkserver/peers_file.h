/// The peers file: where the other members of this disk's copysets were last reached, so that a
/// restart does not depend on the MDS.
/// Source: docs/formats/peers.md.
#pragma once

#include "io/disk.h"
#include "multiraft/peers.h"

namespace cairn::chunkserver {

/// An absent file leaves `peers` empty. Errors: kCorrupt; the caller may go on without: the MDS
/// tells the addresses again.
io::Task<Status> load_peers(io::Disk& disk, multiraft::PeerDirectory* peers);
/// Durable on return.
io::Task<Status> save_peers(io::Disk& disk, const multiraft::PeerDirectory* peers);

}  // namespace cairn::chunkserver
