/// What the write-ahead log costs.
///
///   cairn_bench_wal --dir DIRECTORY [--seconds S] [--append] [--fill] [--recover [--gib N]]
///
/// --append (the default): durable appends against a plain stream of the same bytes; S seconds a
///           measurement, 2 unless told, medians of three rounds.
/// --fill:   a log that grows on a fresh disk: the longest waits; S seconds, 10 unless told.
/// --recover: a restart with a log of N GiB, 4 unless told.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bench/wal/load.h"

int main(int argc, char** argv) {
  using namespace cairn;
  std::string directory;
  double seconds = 0;
  uint64_t log_gib = 4;
  bool append = false, fill = false, recover = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const bool has_value = i + 1 < argc;
    if (flag == "--append") {
      append = true;
    } else if (flag == "--fill") {
      fill = true;
    } else if (flag == "--recover") {
      recover = true;
    } else if (flag == "--dir" && has_value) {
      directory = argv[++i];
    } else if (flag == "--seconds" && has_value) {
      seconds = std::atof(argv[++i]);
    } else if (flag == "--gib" && has_value) {
      log_gib = static_cast<uint64_t>(std::atoll(argv[++i]));
    } else {
      directory.clear();
      break;
    }
  }
  if (directory.empty() || seconds < 0 || log_gib == 0) {
    std::fprintf(stderr,
                 "usage: cairn_bench_wal --dir DIRECTORY [--seconds S] [--append] [--fill] "
                 "[--recover [--gib N]]\n");
    return 2;
  }
  if (append || (!fill && !recover)) bench::bench_append(directory, seconds > 0 ? seconds : 2);
  if (fill) bench::bench_fill(directory, seconds > 0 ? seconds : 10);
  if (recover) bench::bench_recover(directory, log_gib * kGiB);
}
