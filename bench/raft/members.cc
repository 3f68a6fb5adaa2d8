#include "bench/raft/members.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "base/check.h"

namespace cairn::bench {

namespace {

constexpr Duration kStartLimit = 20s;

int to_ms(Duration limit) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count());
}

Error failed(const std::string& what) {
  return error(Errc::kIo, what + ": " + std::strerror(errno));
}

}  // namespace

Members::Members(std::string program, std::string directory)
    : program_(std::move(program)), directory_(std::move(directory)) {
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listener_ >= 0, "a socket for the members");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = directory_ + "/control";
  CHECK(path.size() < sizeof(name.sun_path), "the directory's name is too long for a socket in it");
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  unlink(path.c_str());
  CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0);
  CHECK(listen(listener_, kMembersCount) == 0);
}

Members::~Members() {
  for (size_t i = 0; i < kMembersCount; ++i) kill(i);
  close(listener_);
  unlink((directory_ + "/control").c_str());
}

Status Members::spawn(size_t number) {
  Child& child = children_[number];
  CHECK(child.pid == 0, "it runs already");
  const std::string id = std::to_string(number + 1);
  const std::string disk = directory_ + "/member" + id;
  const std::string control = "unix:" + directory_ + "/control";
  const std::string listen_at = child.address.empty() ? "127.0.0.1:0" : child.address;
  const pid_t parent = getpid();
  child.pid = fork();
  if (child.pid < 0) {
    child.pid = 0;
    return failed("fork");
  }
  if (child.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    execl(program_.c_str(), program_.c_str(), "--member", id.c_str(), "--dir", disk.c_str(),
          "--listen", listen_at.c_str(), "--control", control.c_str(), nullptr);
    _exit(127);
  }
  pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
  if (poll(&ready, 1, to_ms(kStartLimit)) != 1) return error(Errc::kTimeout, "no member came up");
  child.control = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (child.control < 0) return failed("accept");
  // "hello ID ADDRESS": members are started one at a time, so it is this one.
  std::istringstream hello(TRY(hear(number, kStartLimit)));
  std::string word, said_id;
  hello >> word >> said_id >> child.address;
  if (word != "hello" || said_id != id) return error(Errc::kProtocol, "a member said " + word);
  return ok();
}

Status Members::open(size_t number) {
  std::string order = "open";
  for (size_t i = 0; i < kMembersCount; ++i) {
    order += " " + std::to_string(i + 1) + "=" + children_[i].address;
  }
  TRY(ask(number, order, kStartLimit));
  return ok();
}

Status Members::start_all() {
  for (size_t i = 0; i < kMembersCount; ++i) TRY(spawn(i));
  for (size_t i = 0; i < kMembersCount; ++i) TRY(open(i));
  return ok();
}

void Members::kill(size_t number) {
  Child& child = children_[number];
  if (child.pid > 0) {
    ::kill(child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
  }
  if (child.control >= 0) close(child.control);
  child.pid = 0;
  child.control = -1;
  child.received.clear();
}

Status Members::restart(size_t number) {
  TRY(spawn(number));
  return open(number);
}

Status Members::tell(size_t number, const std::string& order) {
  const std::string line = order + "\n";
  const ssize_t sent = send(children_[number].control, line.data(), line.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(line.size())) return failed("a member does not listen");
  return ok();
}

Result<std::string> Members::hear(size_t number, Duration limit) {
  Child& child = children_[number];
  for (;;) {
    const size_t end = child.received.find('\n');
    if (end != std::string::npos) {
      std::string line = child.received.substr(0, end);
      child.received.erase(0, end + 1);
      return line;
    }
    pollfd ready{.fd = child.control, .events = POLLIN, .revents = 0};
    const int polled = poll(&ready, 1, to_ms(limit));
    if (polled < 0 && errno == EINTR) continue;
    if (polled != 1) {
      return error(Errc::kTimeout, "member " + std::to_string(number + 1) + " does not answer");
    }
    char bytes[65536];
    const ssize_t got = recv(child.control, bytes, sizeof(bytes), 0);
    if (got <= 0) {
      return error(Errc::kUnavailable, "member " + std::to_string(number + 1) + " has ended");
    }
    child.received.append(bytes, static_cast<size_t>(got));
  }
}

Result<std::string> Members::ask(size_t number, const std::string& order, Duration limit) {
  TRY(tell(number, order));
  std::string line = TRY(hear(number, limit));
  if (line.starts_with("ok ")) return line.substr(3);
  return error(Errc::kUnavailable, "member " + std::to_string(number + 1) + ": " + line);
}

Result<std::vector<std::string>> Members::ask_all(const std::string& order, Duration limit) {
  return ask_each(std::vector<std::string>(kMembersCount, order), limit);
}

Result<std::vector<std::string>> Members::ask_each(const std::vector<std::string>& orders,
                                                   Duration limit) {
  CHECK(orders.size() == kMembersCount);
  for (size_t i = 0; i < kMembersCount; ++i) {
    if (children_[i].pid > 0) TRY(tell(i, orders[i]));
  }
  std::vector<std::string> answers(kMembersCount);
  for (size_t i = 0; i < kMembersCount; ++i) {
    if (children_[i].pid == 0) continue;
    std::string line = TRY(hear(i, limit));
    if (!line.starts_with("ok ")) {
      return error(Errc::kUnavailable, "member " + std::to_string(i + 1) + ": " + line);
    }
    answers[i] = line.substr(3);
  }
  return answers;
}

}  // namespace cairn::bench
