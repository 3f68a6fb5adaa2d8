/// What the `cairn raft` commands ask of chunkservers: found by way of the MDS, called directly.
/// Threads: one reactor.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "client/cluster.h"
#include "io/env.h"
#include "rpc/client.h"
#include "wire/copyset.pb.h"
#include "wire/mds.pb.h"

namespace cairn::cli {

/// A copyset as the MDS knows it, and where every chunkserver is reached.
struct CopysetPlace {
  uint64_t copyset = 0;
  std::vector<uint64_t> members;
  std::map<uint64_t, std::string> addresses;

  /// kNotFound with what to run to see which there are.
  Result<io::Address> address_of(uint64_t chunkserver) const;
};
/// Errors: kNotFound: no such copyset; the cluster's.
io::Task<Result<CopysetPlace>> find_place(client::Cluster* cluster, uint64_t copyset);

/// Asks one chunkserver; the change goes on whether or not the answer arrives.
using AskPeers = std::function<io::Task<Result<rpc::Answer<wire::PeersReply>>>(io::Address to)>;
using ShowProgress = std::function<void(const wire::PeersReply& reply)>;

/// Has the leader, whoever that is meanwhile, make a change, and follows it to its end.
/// Errors: kTimeout: it goes on, or nobody leads; the message says what to run to see.
io::Task<Result<wire::PeersReply>> follow_change(io::Env env, CopysetPlace place, AskPeers ask,
                                                 Instant until, ShowProgress show);

struct LeaderView {
  uint64_t chunkserver = 0;
  std::string address;
  uint64_t term = 0;
  uint64_t epoch = 0;
};
/// Asks the members one after the other. kUnavailable: none of them knows of a leader.
io::Task<Result<LeaderView>> find_leader(rpc::Client* client, CopysetPlace place);

}  // namespace cairn::cli
