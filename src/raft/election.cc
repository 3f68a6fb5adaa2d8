#include <algorithm>

#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {
namespace {

bool is_conf_change(const Entry& entry) {
  return entry.type == EntryType::kConfChange || entry.type == EntryType::kConfChangeV2;
}

}  // namespace

void Raft::hup(Campaign kind) {
  if (role_ == Role::kLeader) {
    debug(id_, " ignoring MsgHup because already leader");
    return;
  }
  if (!promotable()) {
    warn(id_, " is unpromotable and can not campaign");
    return;
  }
  // A change that is committed but not applied here may have removed us, or those we would count.
  if (has_unapplied_conf_changes() && !is_planted(PlantedBug::kCampaignUnapplied)) {
    warn(id_, " cannot campaign at term ", term_,
         " since there are still pending configuration changes to apply");
    return;
  }
  info(id_, " is starting a new election at term ", term_);
  campaign(kind);
}

// The first configuration change in [low, high), none of which is applied.
std::optional<LogIndex> Raft::find_conf_change(LogIndex low, LogIndex high) const {
  // In pages of what a Ready may hold, so that memory stays bounded.
  while (low < high) {
    const auto page = log_.slice(low, high, log_.applying_bytes_max());
    CHECK(page && !page->empty(), "entries were compacted before they were applied");
    const auto found = std::ranges::find_if(*page, is_conf_change);
    if (found != page->end()) return found->index;
    low += page->size();
  }
  return std::nullopt;
}

void Raft::campaign(Campaign kind) {
  MessageType request = MessageType::kVote;
  Term term;
  if (kind == Campaign::kPreElection) {
    become_pre_candidate();
    request = MessageType::kPreVote;
    term = term_ + 1;  // the one that we would campaign in
  } else {
    become_candidate();
    term = term_;
  }
  const EntryId last = log_.last_entry_id();
  for (NodeId voter : tracker_.config.voters.ids()) {
    if (voter == id_) {
      // The own vote counts once it is durable, like the others'.
      send({.type = vote_response_of(request), .to = id_, .term = term});
      continue;
    }
    Message message{
        .type = request, .to = voter, .term = term, .log_term = last.term, .index = last.index};
    if (kind == Campaign::kTransfer) message.context = Buffer::copy_of(kTransferContext);
    info(id_, " [logterm: ", last.term, ", index: ", last.index, "] sent ",
         kind == Campaign::kPreElection ? "MsgPreVote" : "MsgVote", " request to ", voter,
         " at term ", term_);
    send(std::move(message));
  }
}

// Learners answer too: they may have been made voters by a change that they have not applied.
void Raft::answer_vote(const Message& message) {
  const bool may_vote = vote_ == message.from ||                   // said so before
                        (vote_.is_none() && leader_.is_none()) ||  // still free in this term
                        is_planted(PlantedBug::kVoteTwice) ||
                        (message.type == MessageType::kPreVote && message.term > term_);
  const EntryId candidate{.term = message.log_term, .index = message.index};
  const bool granted =
      may_vote && (log_.is_up_to_date(candidate) || is_planted(PlantedBug::kVoteForShorterLog));
  const EntryId last = log_.last_entry_id();
  info(id_, " [logterm: ", last.term, ", index: ", last.index, ", vote: ", vote_, "] ",
       granted ? "cast " : "rejected ",
       message.type == MessageType::kVote ? "MsgVote" : "MsgPreVote", granted ? " for " : " from ",
       message.from, " [logterm: ", message.log_term, ", index: ", message.index, "] at term ",
       term_);
  // A grant names the term of the request: a pre-vote's is ahead of ours, and an answer with ours
  // would be dropped as old. A refusal names ours, so that the candidate learns of it.
  send({.type = vote_response_of(message.type),
        .reject = !granted,
        .to = message.from,
        .term = granted ? message.term : term_});
  if (granted && message.type == MessageType::kVote) {
    election_elapsed_ = 0;
    vote_ = message.from;
  }
}

void Raft::take_vote(const Message& message) {
  const std::string_view kind =
      message.type == MessageType::kVoteResponse ? "MsgVoteResp" : "MsgPreVoteResp";
  info(id_, " received ", kind, message.reject ? " rejection" : "", " from ", message.from,
       " at term ", term_);
  tracker_.record_vote(message.from, !message.reject);
  const ProgressTracker::Tally tally = tracker_.tally_votes();
  info(id_, " has received ", tally.granted_count, " ", kind, " votes and ", tally.rejected_count,
       " vote rejections");
  switch (tally.result) {
    case VoteResult::kPending:
      break;
    case VoteResult::kLost:
      // Our term: an answer to a pre-vote may carry a later one, in which nobody is.
      become_follower(term_, NodeId());
      break;
    case VoteResult::kWon:
      if (role_ == Role::kPreCandidate) {
        campaign(Campaign::kElection);
      } else if (!tracker_.vote_of(id_) && !is_planted(PlantedBug::kLeadBeforeOwnVote)) {
        // The others suffice, but our own vote, and with it the term, is not durable yet. If we led
        // now and lost the term in a crash, those who voted for us would do so again, and we would
        // give other entries the names of those that we have sent already.
        info(id_, " has won term ", term_, " and waits for its own vote to be durable");
      } else {
        become_leader();
        broadcast_append();
      }
      break;
  }
}

}  // namespace cairn::raft
