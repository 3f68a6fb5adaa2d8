/// Processes that a command starts in the background, known by pid and start time: a pid alone may
/// belong to somebody else by now.
/// Threads: any; the calls block for milliseconds. Not for servers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::io::real {

struct ProcessIdentity {
  int pid = 0;
  std::string started;  ///< the kernel's start time, as text
  bool operator==(const ProcessIdentity&) const = default;
};

/// Starts `arguments[0]` in a session of its own, with standard output and error appended to
/// `log_file` and no standard input. kIo if it cannot be started.
Result<ProcessIdentity> start_daemon(const std::vector<std::string>& arguments,
                                     const std::string& log_file);
/// Of a process that runs now.
ProcessIdentity identity_of(int pid);
/// The same process, not one that got its pid later.
bool is_running(const ProcessIdentity& process);
/// False if it is not running any more.
bool send_signal(const ProcessIdentity& process, int signal_number);
/// CPU time that the process has used, in microseconds; 0 if it is gone.
uint64_t cpu_time_us(const ProcessIdentity& process);
struct ProcessUsage {
  uint64_t cpu_us = 0;
  uint64_t resident_bytes = 0;
  uint64_t open_files_count = 0;
};
/// Of this process; zeros where /proc is not mounted. Quick enough for a server to call at times.
ProcessUsage own_usage();
/// The path of the program that is running.
std::string own_program();
/// A port of 127.0.0.1 that nobody listens on now; another one with each call. One thread.
Result<uint16_t> free_port();
/// Whether standard output is a terminal.
bool is_terminal();

}  // namespace cairn::io::real
