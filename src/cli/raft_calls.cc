#include "cli/raft_calls.h"

#include <algorithm>

#include "wire/methods.h"

namespace cairn::cli {

namespace {

constexpr Duration kAskAgainDelay = 200ms;
constexpr Duration kLeaderTimeout = 2s;

/// Another member may do, or the same one later.
bool may_pass(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kClosed ||
         code == Errc::kNotFound || code == Errc::kNotLeader;
}

}  // namespace

Result<io::Address> CopysetPlace::address_of(uint64_t chunkserver) const {
  const auto found = addresses.find(chunkserver);
  if (found != addresses.end()) return io::Address{found->second};
  return error(Errc::kNotFound, "there is no chunkserver " + std::to_string(chunkserver) +
                                    "; `cairn status` lists them");
}

io::Task<Result<CopysetPlace>> find_place(client::Cluster* cluster, uint64_t copyset) {
  CopysetPlace place{.copyset = copyset};
  const auto status = CO_TRY(co_await cluster->cluster_status());
  for (const auto& chunkserver : status.chunkservers()) {
    place.addresses.emplace(chunkserver.id(), chunkserver.address());
  }
  const auto found = co_await cluster->get_copysets({CopysetId(copyset)});
  if (!found && found.code() != Errc::kNotFound) co_return found.error();
  if (found && found->size() == 1) {
    for (const auto& member : found->front().members()) place.members.push_back(member.node());
    co_return place;
  }
  co_return error(Errc::kNotFound, "there is no copyset " + std::to_string(copyset) +
                                       "; `cairn copyset list` shows them");
}

io::Task<Result<wire::PeersReply>> follow_change(io::Env env, CopysetPlace place, AskPeers ask,
                                                 Instant until, ShowProgress show) {
  Error last(Errc::kTimeout, "none of its members was reached");
  std::string address;
  for (size_t turn = 0; env.clock.now() < until; ++turn) {
    if (address.empty()) {
      address = CO_TRY(place.address_of(place.members[turn % place.members.size()])).text;
    }
    auto answer = co_await ask(io::Address{address});
    if (answer && answer->message.is_done()) co_return std::move(answer->message);
    if (answer && !answer->message.has_redirect()) {
      show(answer->message);
      last = error(Errc::kTimeout, "it is under way");
      continue;
    }
    if (!answer && !may_pass(answer.code())) co_return answer.error();
    if (answer) {
      address = answer->message.redirect().leader_address();
      last = error(Errc::kTimeout, "nobody is known to lead it");
    } else {
      last = answer.error();
      address.clear();
    }
    co_await env.clock.sleep(kAskAgainDelay);
  }
  co_return error(Errc::kTimeout,
                  "copyset " + std::to_string(place.copyset) +
                      ": the change is not known to be done, and may go on: " + last.message() +
                      ". `cairn raft status " + std::to_string(place.copyset) +
                      "` shows it; pass a longer --timeout to wait");
}

io::Task<Result<LeaderView>> find_leader(rpc::Client* client, CopysetPlace place) {
  Error last(Errc::kUnavailable, "no member knows of a leader");
  wire::GetLeaderRequest request;
  request.set_copyset(place.copyset);
  for (uint64_t member : place.members) {
    const io::Address address = CO_TRY(place.address_of(member));
    auto answer = co_await client->call<wire::GetLeaderReply>(address, wire::Method::kGetLeader,
                                                              request, {}, kLeaderTimeout);
    if (!answer) {
      last = answer.error().within("chunkserver " + std::to_string(member));
    } else if (answer->message.leader().leader_node() != 0) {
      const auto& reply = answer->message;
      co_return LeaderView{.chunkserver = reply.leader().leader_node(),
                           .address = reply.leader().leader_address(),
                           .term = reply.term(),
                           .epoch = reply.epoch()};
    }
  }
  co_return error(Errc::kUnavailable,
                  "copyset " + std::to_string(place.copyset) + " has no leader (" + last.message() +
                      "); `cairn raft status " + std::to_string(place.copyset) +
                      "` shows its members. If its quorum is gone for ever, see `cairn raft "
                      "reset-peers --help`");
}

}  // namespace cairn::cli
