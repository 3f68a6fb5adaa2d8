/// Heartbeat: tells the MDS how this disk and its copysets are, and does what the answer asks for.
/// Threads: one reactor.
#pragma once

#include "chunkserver/identity.h"
#include "chunkserver/options.h"
#include "chunkserver/service.h"
#include "wire/mds.pb.h"

namespace cairn::chunkserver {

/// Calls the MDS, whichever of the configured addresses answers.
class MdsLink {
 public:
  MdsLink(rpc::Client& client, std::vector<io::Address> addresses)
      : client_(client), addresses_(std::move(addresses)) {}

  io::Task<Result<wire::RegisterChunkserverReply>> register_chunkserver(
      wire::RegisterChunkserverRequest request, Duration timeout);
  io::Task<Result<wire::HeartbeatReply>> heartbeat(wire::HeartbeatRequest request,
                                                   Duration timeout);

 private:
  template <class Reply, class Request>
  io::Task<Result<Reply>> call(wire::Method method, Request request, Duration timeout);

  rpc::Client& client_;
  std::vector<io::Address> addresses_;
  size_t current_ = 0;  ///< the one that answered last
};

/// What a heartbeat reports and changes.
class HeartbeatSubject {
 public:
  virtual ~HeartbeatSubject() = default;
  virtual io::Task<wire::HeartbeatRequest> report() = 0;
  /// `answered`, the last report, has reached the MDS; obey() follows.
  virtual void acknowledge(const wire::HeartbeatRequest& answered) = 0;
  virtual io::Task<void> obey(wire::HeartbeatReply reply) = 0;
  /// The MDS knows another process under this identity, or another disk at this address: this one
  /// must not serve.
  virtual io::Task<void> on_displaced(Error why) = 0;
};

class Heartbeat {
 public:
  Heartbeat(io::Env env, MdsLink& mds, HeartbeatSubject& subject, Duration interval);
  void start();
  /// Sends one soon instead of at the end of the interval; what else happens until then goes with
  /// it.
  void hurry();
  io::Task<void> stop();

 private:
  io::Task<void> run();
  io::Task<void> wait();
  Duration settle_delay() const { return interval_ / 10; }

  io::Env env_;
  MdsLink& mds_;
  HeartbeatSubject& subject_;
  Duration interval_;
  io::Gate gate_;
  io::Event wake_;
  io::Timer timer_;  ///< armed between two heartbeats
  bool is_hurried_ = false;
  bool is_reached_ = true;  ///< for the log: tell only when it changes
};

}  // namespace cairn::chunkserver
