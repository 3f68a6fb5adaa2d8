/// Members: the three processes of bench/raft, seen from the one that drives them. Starts, kills
/// and restarts its own children and no others; all of them end when it does, however it ends.
/// Threads: one; calls block, each with a limit.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cairn::bench {

inline constexpr size_t kMembersCount = 3;

class Members {
 public:
  /// `program` is started with --member; everything lies below `directory`.
  Members(std::string program, std::string directory);
  ~Members();  ///< ends the children and waits for them
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  Status start_all();
  /// kill -9, and waits until it is gone.
  void kill(size_t number);
  /// On the same disk and address.
  Status restart(size_t number);

  /// One order to one member; what it answers behind "ok". Members are numbered from 0.
  Result<std::string> ask(size_t number, const std::string& order, Duration limit);
  /// The same order to all that run, or to each its own, at once.
  Result<std::vector<std::string>> ask_all(const std::string& order, Duration limit);
  Result<std::vector<std::string>> ask_each(const std::vector<std::string>& orders, Duration limit);

 private:
  struct Child {
    pid_t pid = 0;
    int control = -1;
    std::string received;
    std::string address;
  };
  Status spawn(size_t number);
  Status open(size_t number);
  Status tell(size_t number, const std::string& order);
  Result<std::string> hear(size_t number, Duration limit);

  const std::string program_;
  const std::string directory_;
  int listener_ = -1;
  std::array<Child, kMembersCount> children_;
};

}  // namespace cairn::bench
