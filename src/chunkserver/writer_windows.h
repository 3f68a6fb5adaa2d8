/// WriterWindows: makes a client's write take effect once, however often the client had to send it.
///
/// A client numbers its writes to a copyset and says with each which is the oldest whose outcome it
/// does not know. A number below that is a copy that the network kept back: its client has been
/// answered, may have written the same block since, and must not be overtaken. A number that is
/// applied already is answered and not applied again: between two applications another client's
/// write could have been seen.
///
/// Part of the replicated state: changed by apply alone, in log order, so that all replicas agree,
/// and kept with the snapshot. Bounded: above clients_max the client that wrote longest ago is
/// forgotten.
/// Pure. Threads: one reactor.
#pragma once

#include <bitset>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "wire/chunk_op.h"

namespace cairn::chunkserver {

class WriterWindows {
 public:
  /// How far a client may be ahead of its oldest unresolved write.
  static constexpr uint64_t kWindow = wire::kWriterWindow;

  explicit WriterWindows(size_t clients_max = 256);

  enum class Verdict : uint8_t {
    kNew,      ///< to be applied
    kApplied,  ///< done before: answer as then
    kLate,     ///< void: its client was answered long ago
  };
  /// What a write would be told now; changes nothing. client 0 is not numbered: always kNew.
  Verdict look(uint64_t client, uint64_t sequence) const;
  /// The same for an entry that is being applied, and remembers it. oldest_unresolved <= sequence.
  Verdict admit(uint64_t client, uint64_t sequence, uint64_t oldest_unresolved);

  struct Writer {
    uint64_t client = 0;
    uint64_t oldest_unresolved = 0;
    std::vector<uint64_t> applied;  ///< at or above the oldest, ascending
    bool operator==(const Writer&) const = default;
  };
  /// All writers, the one that wrote last at the end; and back.
  std::vector<Writer> save() const;
  /// kCorrupt if a window is too wide.
  Status load(const std::vector<Writer>& writers);

 private:
  struct Window {
    uint64_t oldest = 0;
    std::bitset<kWindow> applied;  ///< bit s % kWindow, for s in [oldest, oldest + kWindow)
    std::list<uint64_t>::iterator age;
  };
  Window& touch(uint64_t client);
  static void advance(Window& window, uint64_t oldest);

  size_t clients_max_;
  std::unordered_map<uint64_t, Window> windows_;
  std::list<uint64_t> by_age_;  ///< the one that wrote last stands at the end
};

}  // namespace cairn::chunkserver
