/// Etcd: as much of etcd v3 as a metadata store needs: transactions and leases.
///
/// A transaction is a list of comparisons; if all hold, `then` is done, else `otherwise`, in one
/// step that nothing comes between. Everything in etcd has the revision of the transaction that
/// wrote it; ranges can be read as of an earlier revision until that is compacted away.
/// Errors:
///   - kUnavailable, kTimeout: the outcome is unknown, unless the transaction only reads
///   - kOverloaded: too much is under way; nothing was done
///   - kInvalidArgument: etcd refuses the request as too large or malformed; nothing was done
///   - kPreconditionFailed: the revision asked for is compacted
///   - kNotFound: a lease that has ended
///   - kNoSpace: etcd's quota is used up; nothing was done
///   - kUnauthenticated, kProtocol, kClosed
/// Threads: one reactor.
/// Source:  docs/adr/0014-etcd.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "io/task.h"

namespace cairn::etcd {

using LeaseId = Id<struct LeaseIdTag>;         ///< drawn by etcd; none: a key that stays
using Revision = Ordinal<struct RevisionTag>;  ///< of etcd's whole content; zero: none, or newest

struct Entry {
  std::string key;
  std::string value;
  Revision created;  ///< since when the key has been there without a break
  LeaseId lease;
};

struct Compare {
  enum class What : uint8_t { kCreated, kValue };
  std::string key;
  What what = What::kCreated;
  Revision created;   ///< zero: the key is absent
  std::string value;  ///< never equal if the key is absent

  static Compare absent(std::string key) { return {.key = std::move(key)}; }
  static Compare created_at(std::string key, Revision at) {
    return {.key = std::move(key), .created = at};
  }
  static Compare holds(std::string key, std::string value) {
    return {.key = std::move(key), .what = What::kValue, .value = std::move(value)};
  }
};

/// The keys from `first` up to, without it, `end`; an empty `end`: `first` alone.
struct Range {
  std::string first;
  std::string end;
  uint64_t entries_max = 0;  ///< 0: all of them; the caller knows that they are few
  Revision at;               ///< zero: now
};

struct Put {
  std::string key;
  std::string value;
  LeaseId lease;  ///< the key goes when this ends
};

/// No key is written twice in it.
struct Operations {
  std::vector<Put> puts;
  std::vector<Range> deletes;
  std::vector<Range> reads;
  bool is_read_only() const { return puts.empty() && deletes.empty(); }
};

struct Transaction {
  std::vector<Compare> compares;
  Operations then;
  Operations otherwise;
  bool is_read_only() const { return then.is_read_only() && otherwise.is_read_only(); }
};

struct RangeResult {
  std::vector<Entry> entries;  ///< ascending
  bool has_more = false;       ///< than entries_max
};

struct Outcome {
  bool has_held = false;           ///< all of the comparisons
  Revision revision;               ///< that the transaction made, or read
  std::vector<RangeResult> reads;  ///< of the branch that was taken, in its order
};

struct Lease {
  LeaseId id;
  Duration time_to_live{};  ///< from some moment after the request was sent
};

class Etcd {
 public:
  virtual ~Etcd() = default;
  virtual io::Task<Result<Outcome>> run(Transaction transaction, Duration timeout) = 0;
  /// etcd may give more than is asked for; whole seconds.
  virtual io::Task<Result<Lease>> grant(Duration time_to_live, Duration timeout) = 0;
  virtual io::Task<Result<Lease>> keep_alive(LeaseId lease, Duration timeout) = 0;
  /// The lease's keys are gone on return.
  virtual io::Task<Status> revoke(LeaseId lease, Duration timeout) = 0;
};

/// What etcd has to take in one transaction, and its flags for that. Its defaults are far less.
inline constexpr size_t kTransactionOperationsMax = 140'000;
inline constexpr size_t kTransactionBytesMax = 32 * kMiB;
/// Entries of one range that may be of any size, so that an answer has a bound.
inline constexpr uint64_t kRangeEntriesMax = 256;

}  // namespace cairn::etcd
