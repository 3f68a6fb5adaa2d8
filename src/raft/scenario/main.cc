// cairn_scenarios PATH...: runs the data-driven Raft scenarios below each path.
#include <iostream>

#include "raft/scenario/runner.h"

int main(int argc, char** argv) {
  using cairn::raft::scenario::run_path;
  if (argc < 2) {
    std::cerr
        << "usage: cairn_scenarios PATH...\n"
           "Runs every scenario file below each PATH, prints what differs from what the file\n"
           "expects, and ends with the number of directives that passed and failed.\n";
    return 2;
  }
  size_t passed = 0;
  size_t failed = 0;
  for (int i = 1; i < argc; ++i) {
    const auto totals = run_path(argv[i], std::cout);
    if (!totals) {
      std::cout << totals.error().message() << '\n';
      ++failed;
      continue;
    }
    passed += totals->passed;
    failed += totals->failed;
  }
  std::cout << passed << " passed, " << failed << " failed" << std::endl;
  return failed == 0 ? 0 : 1;
}
