/// HostBeats: one beat a pair of hosts stands for the heartbeats of all groups that they share.
///
/// A leader's host beats to the hosts of its followers; each beat names the leader host's *vouch*,
/// a number that changes whenever the host has lost (or, by a restart, forgotten) the leadership of
/// any group. A follower that is heard from by a group's own heartbeat *binds* to its leader: from
/// then on it counts no ticks in that group, refuses votes while the beats go on, and is released
/// when they stop or when the vouch changes. Its host answers each beat with the *epoch* of its
/// support for that leader's host; the epoch changes whenever a follower has left a bond for any
/// other reason than the leader's own word. So an answer proves, for every group whose follower
/// said that it was bound in that epoch, what the answer to a heartbeat of the group would have
/// proved: no vote for an election timeout after the beat was sent. The leader's lease may rest on
/// it.
///
/// Numbers are drawn at random for each life of a process and then counted, so that a restart
/// changes all of them; they are compared for equality alone, and frames that come late or twice do
/// no harm. Pure. Threads: one reactor. Source: ADR-0008.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"
#include "base/planted_bug.h"
#include "base/units.h"

namespace cairn::multiraft {

class HostBeats {
 public:
  /// `life` is random. Silence longer than `election_timeout` + `margin` is a leader's death: the
  /// margin lets the other followers, who heard the last beat a little later, agree by then.
  HostBeats(Duration election_timeout, Duration margin, uint64_t life);

  // ---- the follower's half: of `leader`, whose beats we hear
  enum class News : uint8_t {
    kNone,
    kDisowned,   ///< it leads less than it did: the bonds with it are void
    kRestarted,  ///< it leads nothing that it led
  };
  /// The epoch has moved on if there is news; the caller releases the groups.
  News on_beat(NodeId leader, uint64_t vouch, Instant now);
  /// A heartbeat that was sent under this vouch is the word of a living leader.
  bool may_bind(NodeId leader, uint64_t vouch, Instant now) const;
  /// Of our support for it. Never zero.
  uint64_t epoch_for(NodeId leader) const;
  /// Its last beat; Instant::min() if there was none.
  Instant heard_at(NodeId leader) const;
  /// A bond with it was left by this side: what was promised under the old epoch ends with it.
  void withdraw(NodeId leader);
  /// Those whose beats have stopped, each told once; their epochs have moved on.
  std::vector<NodeId> take_silent_leaders(Instant now);

  // ---- the leader's half: of `follower`, who answers our beats
  uint64_t vouch() const { return vouch_; }
  /// A group is no longer led here.
  void disown() {
    if (!is_planted(PlantedBug::kVouchKept)) ++vouch_;
  }
  /// True if it answers again after a silence, or under another epoch: bonds are to be renewed.
  bool on_answer(NodeId follower, uint64_t epoch, Instant stamp, Instant now);
  bool answers(NodeId follower) const;
  /// The epoch of its latest answer; zero if there was none.
  uint64_t epoch_of(NodeId follower) const;
  /// When the youngest beat was sent that it answered in this epoch.
  Instant answered_stamp(NodeId follower) const;
  /// Those who have stopped answering, each told once.
  std::vector<NodeId> take_silent_followers(Instant now);

  /// Beats are sent to it from now on.
  void add_follower(NodeId follower) { follower_halves_.try_emplace(follower); }
  /// Whom to beat to. Bounded by the hosts that ever shared a group with this one.
  std::vector<NodeId> followers() const;

 private:
  struct LeaderHalf {  ///< what is known of a host that leads
    uint64_t vouch = 0;
    Instant heard_at = Instant::min();
    uint64_t epoch = 0;
    bool is_heard = false;
  };
  struct FollowerHalf {  ///< what is known of a host that follows
    uint64_t epoch = 0;
    Instant stamp = Instant::min();
    Instant answered_at = Instant::min();
    bool answers = false;
  };
  LeaderHalf& leader_half(NodeId leader);

  const Duration election_timeout_;
  const Duration silence_max_;
  uint64_t vouch_;
  uint64_t next_epoch_;
  std::map<NodeId, LeaderHalf> leader_halves_;
  std::map<NodeId, FollowerHalf> follower_halves_;
};

}  // namespace cairn::multiraft
