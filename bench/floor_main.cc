// cairn_bench_floor: prints the floor that the targets are ratios of.
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/floor.h"

namespace {

void print_line(const char* name, const char* what, const cairn::bench::Latency& latency) {
  std::printf("%-12s %-52s median %8.1f us   p99 %8.1f us   %zu samples\n", name, what,
              latency.median_us, latency.p99_us, latency.samples_count);
}

int usage(int code) {
  std::fprintf(code == 0 ? stdout : stderr,
               "usage: cairn_bench_floor [--dir DIR] [--seconds S] [--json]\n"
               "  --dir DIR    a directory on the disk to measure (default: .)\n"
               "  --seconds S  how long each of the three measurements takes (default: 2)\n"
               "  --json       print one object\n");
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  cairn::bench::FloorOptions options;
  options.directory = ".";
  bool json = false;
  static const option kOptions[] = {{"dir", required_argument, nullptr, 'd'},
                                    {"seconds", required_argument, nullptr, 's'},
                                    {"json", no_argument, nullptr, 'j'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {nullptr, 0, nullptr, 0}};
  for (int choice; (choice = ::getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (choice) {
      case 'd':
        options.directory = optarg;
        break;
      case 's':
        options.seconds_each = std::atof(optarg);
        break;
      case 'j':
        json = true;
        break;
      case 'h':
        return usage(0);
      default:
        return usage(2);
    }
  }
  if (optind != argc) return usage(2);
  const auto floor = cairn::bench::measure_floor(options);
  if (!floor.ok()) {
    std::fprintf(stderr, "cairn_bench_floor: %s\n", floor.error().describe().c_str());
    return 1;
  }
  if (json) {
    std::printf("%s\n", floor->to_json().c_str());
    return 0;
  }
  print_line("echo", "4 KiB there and back, loopback TCP, two processes", floor->echo);
  print_line("dsync3", "4 KiB O_DIRECT|O_DSYNC write, three writers at once", floor->dsync3);
  print_line("direct read", "4 KiB O_DIRECT read at random", floor->direct_read);
  std::printf("floor3      = 2 x echo + dsync3    = %.1f us\n", floor->write_us());
  std::printf("read floor  = echo + direct read   = %.1f us\n", floor->read_us());
  return 0;
}
