#include "io/real/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "io/real/unique_fd.h"

extern char** environ;

namespace cairn::io::real {

namespace {

/// Fields of /proc/PID/stat behind the name, which may hold spaces; field 3 is the first.
std::vector<std::string> stat_fields(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}
constexpr size_t kState = 0, kUserTime = 11, kSystemTime = 12, kStartTime = 19, kFieldsMin = 20;

Error failed(const std::string& what, int code) {
  return error(Errc::kIo, what + ": " + std::generic_category().message(code));
}

}  // namespace

Result<ProcessIdentity> start_daemon(const std::vector<std::string>& arguments,
                                     const std::string& log_file) {
  CHECK(!arguments.empty());
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int code = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return failed("cannot start " + arguments[0], code);
  return identity_of(pid);
}

ProcessIdentity identity_of(int pid) {
  const auto fields = stat_fields(pid);
  ProcessIdentity process{.pid = pid};
  if (fields.size() >= kFieldsMin) process.started = fields[kStartTime];
  return process;
}

bool is_running(const ProcessIdentity& process) {
  if (process.pid <= 0) return false;
  (void)waitpid(process.pid, nullptr, WNOHANG);  // a child of ours that has ended
  const auto fields = stat_fields(process.pid);
  return fields.size() >= kFieldsMin && fields[kStartTime] == process.started &&
         fields[kState] != "Z";
}

bool send_signal(const ProcessIdentity& process, int signal_number) {
  return is_running(process) && ::kill(process.pid, signal_number) == 0;
}

uint64_t cpu_time_us(const ProcessIdentity& process) {
  if (!is_running(process)) return 0;
  const auto fields = stat_fields(process.pid);
  if (fields.size() < kFieldsMin) return 0;
  const uint64_t ticks = std::stoull(fields[kUserTime]) + std::stoull(fields[kSystemTime]);
  return ticks * 1'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
}

ProcessUsage own_usage() {
  ProcessUsage usage;
  rusage times{};
  if (::getrusage(RUSAGE_SELF, &times) == 0) {
    const auto us = [](const timeval& time) {
      return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
    };
    usage.cpu_us = us(times.ru_utime) + us(times.ru_stime);
  }
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> total_pages >> resident_pages) {
    usage.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::error_code ignored;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    ++usage.open_files_count;
  }
  return usage;
}

std::string own_program() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

// Below the ports that the kernel gives to outgoing connections: one of those could have it before
// its server listens.
Result<uint16_t> free_port() {
  constexpr uint16_t kFirst = 20'000, kCount = 10'000;
  static uint16_t next = static_cast<uint16_t>(std::random_device()() % kCount);
  for (uint16_t tried = 0; tried < kCount; ++tried) {
    const uint16_t port = kFirst + next++ % kCount;  // never the same one twice in a row
    UniqueFd socket_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket_fd.get() < 0) return failed("no socket for a port on 127.0.0.1", errno);
    if (::bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
      return port;
    }
  }
  return failed("no free port on 127.0.0.1", EADDRINUSE);
}

bool is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

}  // namespace cairn::io::real
