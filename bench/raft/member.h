/// Member: one of the processes of bench/raft: a multiraft Host on a real disk, under orders.
///
/// Orders come as lines over a unix socket, one at a time, and each is answered by one line that
/// begins with "ok" or "failed". members.h is the other end.
///   open ID=ADDRESS ...       opens the log and serves; the peers, this one among them
///   create FIRST COUNT        makes groups of all peers
///   status                    groups, how many are led, CPU, memory, bytes sent, applied in all
///   led SINCE_NS              groups whose first command of this leader was acknowledged since
///   load GROUPS DEPTH MS      4 KiB commands to so many of the groups led, DEPTH under way
/// Ends by itself when the other end closes. Threads: one reactor.
#pragma once

#include <string>

namespace cairn::bench {

struct MemberOptions {
  std::string directory;  ///< its disk
  std::string listen;     ///< HOST:PORT for its peers
  std::string control;    ///< unix:PATH that it connects to
  uint64_t id = 0;
};

/// Runs until the control connection closes; the process's exit code.
int run_member(const MemberOptions& options);

}  // namespace cairn::bench
