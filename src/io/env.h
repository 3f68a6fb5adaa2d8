/// Env: the interfaces that one simulated or real process runs on, handed down by constructor.
#pragma once

#include "base/buffer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/executor.h"
#include "io/network.h"

namespace cairn::io {

/// References to what outlives every component of the process. Copied freely.
struct Env {
  Executor& executor;
  Clock& clock;
  Network& network;
  Entropy& entropy;
  BufferPool& buffers;
  Rng& rng;
  Logger logger;
  Registry& metrics;
};

}  // namespace cairn::io
