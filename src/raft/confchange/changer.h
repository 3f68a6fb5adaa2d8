/// Changer: computes the configuration that follows a change, or says why there is none.
///
/// It never touches the tracker it was given: callers install what it returns.
///   simple       at most one voter comes or goes, so any two majorities overlap
///   enter_joint  any change; both the old and the new majority decide until it is left
///   leave_joint  drops the old half
///   reset        whatever was, the changes say all that is; asks no majority for its consent
/// Source: Raft dissertation, chapter 4.
#pragma once

#include <span>

#include "base/result.h"
#include "raft/confchange/conf_change.h"
#include "raft/tracker/tracker.h"

namespace cairn::raft {

class Changer {
 public:
  struct Outcome {
    TrackerConfig config;
    ProgressMap progress;
  };

  /// A new member is first probed at `last`, the leader's last index.
  Changer(const ProgressTracker& tracker, LogIndex last) : tracker_(tracker), last_(last) {}

  /// Errors, all of them: kPreconditionFailed, with the reason; the configuration stays as it is.
  Result<Outcome> simple(std::span<const ConfChangeSingle> changes) const;
  Result<Outcome> enter_joint(bool auto_leave, std::span<const ConfChangeSingle> changes) const;
  Result<Outcome> leave_joint() const;
  Result<Outcome> reset(std::span<const ConfChangeSingle> members) const;

  /// The one of them that `change` asks for.
  Result<Outcome> apply(const ConfChangeV2& change) const;

 private:
  Outcome copy() const { return {tracker_.config, tracker_.progress}; }
  Status apply_each(Outcome& to, std::span<const ConfChangeSingle> changes) const;
  void make_voter(Outcome& to, NodeId id) const;
  void make_learner(Outcome& to, NodeId id) const;
  void remove(Outcome& to, NodeId id) const;
  void add_member(Outcome& to, NodeId id, bool is_learner) const;

  const ProgressTracker& tracker_;
  LogIndex last_;
};

/// What every configuration must satisfy, with the progress that belongs to it.
/// Errors: kInternal, saying what does not hold.
Status check_configuration(const TrackerConfig& config, const ProgressMap& progress);

/// The stored form of a configuration.
ConfState conf_state_of(const TrackerConfig& config);

/// The configuration that `state` describes, built on `empty` (no members), whose new members are
/// probed at `last`.
/// Errors: kPreconditionFailed if `state` describes no legal configuration.
Result<Changer::Outcome> restore_configuration(ProgressTracker empty, LogIndex last,
                                               const ConfState& state);

}  // namespace cairn::raft
