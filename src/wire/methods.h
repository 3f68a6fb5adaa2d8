/// The methods of Cairn's servers. Numbers travel on the wire: append, never renumber.
#pragma once

#include <cstdint>

namespace cairn::wire {

enum class Method : uint16_t {
  kNone = 0,
  kPing = 1,
  // chunkserver, data path
  kReadChunk = 16,
  kWriteChunk = 17,
  kDeleteChunk = 18,
  kFetchChunk = 19,
  kChunkHash = 20,
  kScanTable = 21,
  kReplaceBlocks = 22,
  kStartScan = 23,
  kScanStatus = 24,
  kRaiseFence = 25,
  kCountChunks = 26,
  // chunkserver, control
  kCreateCopyset = 32,
  kCopysetStatus = 33,
  kDeleteCopyset = 34,
  kAddPeer = 35,
  kRemovePeer = 36,
  kChangePeers = 37,
  kResetPeers = 38,
  kTransferLeader = 39,
  kGetLeader = 40,
  kSnapshotCopyset = 41,
  kLearnPeers = 42,
  // Raft
  kRaftBatch = 48,  ///< one-way
  kFetchSnapshot = 49,
  // MDS
  kRegisterChunkserver = 64,
  kHeartbeat = 65,
  kCreateVolume = 66,
  kListVolumes = 67,
  kStatVolume = 68,
  kDeleteVolume = 69,
  kGetSegment = 70,
  kGetCopysets = 71,
  kClusterStatus = 72,
  // MDS, scheduling and topology
  kListOperators = 96,
  kCancelOperator = 97,
  kBalanceLeaders = 98,
  kShowCopyset = 99,
  kShowTopology = 100,
  kPutPool = 101,
  kPutZone = 102,
  kPutServer = 103,
  kSetChunkservers = 104,
  kRemovePool = 105,
  kRemoveZone = 106,
  kRemoveServer = 107,
  kRemoveChunkserver = 108,
  kOpenSession = 112,
  kRenewSession = 113,
  kCloseSession = 114,
  kListSessions = 115,
  // MDS, what else may happen to a volume
  kExtendVolume = 128,
  kRenameVolume = 129,
  kRestoreVolume = 130,
  kPurgeVolume = 131,
};

}  // namespace cairn::wire
