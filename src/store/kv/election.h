/// Election: which of several processes on one MetaStore is the active one.
///
/// A term is one process's time as the active one: higher ones are later, and no two processes have
/// the same. That a term has ended can be known too late; so what is written goes through
/// store_of(), which refuses it then, and what is answered from memory asks confirm() first.
/// Threads:  one reactor.
/// Lifetime: outlives the stores that it gave.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/sync.h"
#include "store/kv/meta_store.h"

namespace cairn::kv {

class Election {
 public:
  enum class Reach : uint8_t { kUnknown, kReachable, kSilent };
  struct Member {
    std::string name;
    std::string address;
    bool is_active = false;
    Reach reach = Reach::kUnknown;  ///< as the active one sees it
  };

  virtual ~Election() = default;

  /// In which this process is the active one; 0: it is not, as far as it knows.
  virtual uint64_t term() const = 0;
  /// notify_all() whenever term() has changed.
  virtual io::Event& changed() = 0;
  /// Where the active process is reached; empty: not known.
  virtual std::string active_address() const = 0;
  virtual std::vector<Member> members() const = 0;

  /// The store for the active process: as a MetaStore, and kNotLeader in any other term than this.
  virtual std::unique_ptr<MetaStore> store_of(uint64_t term) = 0;
  /// Ok: until now nobody was active in a later term. Errors: kNotLeader, kUnavailable.
  virtual io::Task<Status> confirm(uint64_t term) = 0;
  /// Lets another process become the active one, if one can; returns when it has been tried.
  virtual io::Task<void> resign() = 0;
};

}  // namespace cairn::kv
