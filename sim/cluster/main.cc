/// cairn_sim: the whole cluster in one thread, under the faults that a seed draws.
#include <cstdio>

#include "sim/cluster/batch.h"

int main(int argument_count, char** arguments) {
  using namespace cairn::sim;
  const auto options = parse_options({arguments + 1, arguments + argument_count});
  if (!options.ok()) {
    std::fprintf(stderr, "cairn_sim: %s\n", options.error().message().c_str());
    return 2;
  }
  if (options->wants_help) {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  return options->is_single ? run_single(*options) : run_batch(*options);
}
