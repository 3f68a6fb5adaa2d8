/// cairn_sim: the whole cluster in one thread, under the faults that a seed draws.
#include <malloc.h>

#include <cstdio>

#include "sim/cluster/batch.h"

int main(int argument_count, char** arguments) {
  using namespace cairn::sim;
  // A run takes and frees the same memory over and over: giving it back costs a tenth of the time.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
  const auto options = parse_options({arguments + 1, arguments + argument_count});
  if (!options.ok()) {
    std::fprintf(stderr, "cairn_sim: %s\n", options.error().message().c_str());
    return 2;
  }
  if (options->wants_help) {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (options->all_planted) return run_planted(*options);
  return options->is_single ? run_single(*options) : run_batch(*options);
}
