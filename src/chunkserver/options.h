/// What a chunkserver is told at start. Defaults are for production; `cairn dev` and the simulator
/// set smaller ones.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "chunkserver/background/disk_probe.h"
#include "chunkserver/background/hand_over.h"
#include "chunkserver/background/slow_disk.h"
#include "io/network.h"
#include "multiraft/options.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "store/chunk/in_place_store.h"
#include "store/pool/chunk_file_pool.h"
#include "store/wal/wal.h"

namespace cairn::chunkserver {

struct Options {
  io::Address listen;
  /// What others connect to; the bound address if empty.
  std::string advertise;
  std::vector<io::Address> mds;
  std::string zone;
  std::string server;
  rpc::ClusterKey key;

  Duration heartbeat_interval = 1s;
  /// Bytes of a chunk that a lagging replica compares and fetches in one call; a power of two.
  uint32_t fetch_bytes = 1 * kMiB;
  /// What lagging replicas here fetch, all together; 0: no limit.
  uint64_t fetch_bytes_per_second = 64 * kMiB;
  size_t fetches_inflight_max = 4;
  /// Replicas are compared block by block so often, and read at this rate.
  Duration scan_interval = std::chrono::hours(24 * 7);
  uint64_t scan_bytes_per_second = 64 * kMiB;
  /// Copysets on this disk, at most.
  size_t copysets_max = 10'000;

  HandOverOptions hand_over;  ///< before a stop
  SlowDiskOptions slow_disk;
  DiskProbeOptions disk_probe;

  multiraft::HostOptions raft;
  wal::WalOptions wal;
  pool::PoolOptions pool;
  chunk::StoreOptions store;
  rpc::ServerOptions rpc_server;
  rpc::ClientOptions rpc_client;
};

}  // namespace cairn::chunkserver
