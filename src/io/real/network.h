/// SocketNetwork: the Network of TCP and unix sockets, and SystemEntropy.
#pragma once

#include "base/log.h"
#include "io/clock.h"
#include "io/executor.h"
#include "io/network.h"
#include "io/real/event_loop.h"

namespace cairn::io::real {

class SocketNetwork final : public Network {
 public:
  SocketNetwork(Executor& executor, EventLoop& loop, Clock& clock, Logger logger)
      : executor_(executor), loop_(loop), clock_(clock), logger_(std::move(logger)) {}

  /// Errors: kAlreadyExists if somebody listens there; kInvalidArgument; kIo. The path of a unix
  /// socket whose server has died is taken over.
  Result<std::unique_ptr<Listener>> listen(Address address, Accept accept) override;
  Task<Result<std::unique_ptr<Connection>>> connect(Address address, Duration timeout) override;

 private:
  Executor& executor_;
  EventLoop& loop_;
  Clock& clock_;
  Logger logger_;
};

/// Threads: any.
class SystemEntropy final : public Entropy {
 public:
  void fill(MutableByteView into) override;
};

}  // namespace cairn::io::real
