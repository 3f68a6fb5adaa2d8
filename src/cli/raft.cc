// cairn raft: a copyset's members and leader, by hand.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/context.h"
#include "cli/raft_calls.h"
#include "wire/methods.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

constexpr Duration kCallTimeout = 5s;
constexpr Duration kSnapshotTimeout = 60s;

struct RaftFlags {
  ClusterOptions cluster;
  uint64_t copyset = 0, peer = 0, epoch = 0, on = 0;
  std::vector<uint64_t> peers;
  uint32_t timeout_seconds = 600;
  bool as_json = false, accepts_loss = false;
};

/// What a command works with.
struct Session {
  io::Env env;
  client::Cluster& cluster;
  rpc::Client& client;
  const RaftFlags& flags;
};
using Command = io::Task<int> (*)(Session);

uint64_t draw_operator_id(io::Env& env) {
  std::array<std::byte, sizeof(uint64_t)> bytes;
  env.entropy.fill(bytes);
  return load<uint64_t>(bytes) | uint64_t{1} << 63;  // apart from those of the MDS
}

std::string join(const google::protobuf::RepeatedField<uint64_t>& nodes) {
  std::string text;
  for (uint64_t node : nodes) text += (text.empty() ? "" : ",") + std::to_string(node);
  return text.empty() ? "-" : text;
}

Result<wire::NodeAddress> address_entry(const CopysetPlace& place, uint64_t chunkserver) {
  wire::NodeAddress entry;
  entry.set_node(chunkserver);
  entry.set_address(TRY(place.address_of(chunkserver)).text);
  return entry;
}

void show_progress(const wire::PeersReply& reply) {
  if (reply.copy_total_bytes() == 0) return;
  std::fprintf(stderr, "copied %s of %s\n", format_bytes(reply.copy_done_bytes()).c_str(),
               format_bytes(reply.copy_total_bytes()).c_str());
}

int print_members(const Session& session, const wire::PeersReply& reply) {
  if (session.flags.as_json) {
    const std::vector<uint64_t> members(reply.members().begin(), reply.members().end());
    std::printf(
        "%s\n",
        json{{"copyset", session.flags.copyset}, {"epoch", reply.epoch()}, {"members", members}}
            .dump()
            .c_str());
  } else if (reply.members().empty()) {
    std::printf("copyset %lu: done; it has left the chunkserver that led it\n",
                static_cast<unsigned long>(session.flags.copyset));
  } else {
    std::printf("copyset %lu: members %s, epoch %lu\n",
                static_cast<unsigned long>(session.flags.copyset), join(reply.members()).c_str(),
                static_cast<unsigned long>(reply.epoch()));
  }
  return 0;
}

template <class Request>
io::Task<int> change(Session session, CopysetPlace place, wire::Method method, Request request) {
  request.set_copyset(session.flags.copyset);
  request.set_epoch(session.flags.epoch);
  request.set_operator_id(draw_operator_id(session.env));
  rpc::Client* client = &session.client;
  const Instant until =
      session.env.clock.now() + std::chrono::seconds(session.flags.timeout_seconds);
  auto done = co_await follow_change(
      session.env, std::move(place),
      [client, method, request](io::Address to) {
        return client->call<wire::PeersReply>(to, method, request, {}, kCallTimeout);
      },
      until, show_progress);
  if (!done) co_return fail(done.error());
  co_return print_members(session, *done);
}

io::Task<int> add_peer(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  auto peer = address_entry(*place, session.flags.peer);
  if (!peer) co_return fail(peer.error());
  wire::AddPeerRequest request;
  *request.mutable_peer() = *peer;
  co_return co_await change(session, std::move(*place), wire::Method::kAddPeer, request);
}

io::Task<int> remove_peer(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  wire::RemovePeerRequest request;
  request.set_peer(session.flags.peer);
  co_return co_await change(session, std::move(*place), wire::Method::kRemovePeer, request);
}

io::Task<int> change_peers(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  wire::ChangePeersRequest request;
  for (uint64_t chunkserver : session.flags.peers) {
    auto peer = address_entry(*place, chunkserver);
    if (!peer) co_return fail(peer.error());
    *request.add_peers() = *peer;
  }
  co_return co_await change(session, std::move(*place), wire::Method::kChangePeers, request);
}

io::Task<int> transfer(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  wire::TransferLeaderRequest request;
  request.set_peer(session.flags.peer);
  co_return co_await change(session, std::move(*place), wire::Method::kTransferLeader, request);
}

io::Task<int> reset_peers(Session session) {
  const RaftFlags& flags = session.flags;
  if (!flags.accepts_loss) {
    co_return fail(error(Errc::kInvalidArgument,
                         "a reset loses whatever chunkserver " + std::to_string(flags.on) +
                             " does not hold, acknowledged or not; nothing was done. If the other "
                             "members are gone for ever, pass --accept-loss"));
  }
  auto place = co_await find_place(&session.cluster, flags.copyset);
  if (!place) co_return fail(place.error());
  wire::ResetPeersRequest request;
  request.set_copyset(flags.copyset);
  request.set_accept_loss(true);
  const std::vector<uint64_t> peers = flags.peers.empty() ? std::vector{flags.on} : flags.peers;
  for (uint64_t chunkserver : peers) {
    auto peer = address_entry(*place, chunkserver);
    if (!peer) co_return fail(peer.error());
    *request.add_peers() = *peer;
  }
  auto address = place->address_of(flags.on);
  if (!address) co_return fail(address.error());
  auto answer = co_await session.client.call<wire::PeersReply>(*address, wire::Method::kResetPeers,
                                                               request, {}, kSnapshotTimeout);
  if (!answer) co_return fail(answer.error());
  co_return print_members(session, answer->message);
}

io::Task<int> leader(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  auto found = co_await find_leader(&session.client, std::move(*place));
  if (!found) co_return fail(found.error());
  if (session.flags.as_json) {
    std::printf("%s\n", json{{"copyset", session.flags.copyset},
                             {"leader", found->chunkserver},
                             {"address", found->address},
                             {"term", found->term},
                             {"epoch", found->epoch}}
                            .dump()
                            .c_str());
  } else {
    std::printf("copyset %lu: chunkserver %lu at %s leads, term %lu, epoch %lu\n",
                static_cast<unsigned long>(session.flags.copyset),
                static_cast<unsigned long>(found->chunkserver), found->address.c_str(),
                static_cast<unsigned long>(found->term), static_cast<unsigned long>(found->epoch));
  }
  co_return 0;
}

io::Task<int> snapshot(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  std::vector<uint64_t> members = place->members;
  if (session.flags.on != 0) members = {session.flags.on};
  int status = 0;
  for (uint64_t member : members) {
    auto address = place->address_of(member);
    if (!address) co_return fail(address.error());
    wire::SnapshotCopysetRequest request;
    request.set_copyset(session.flags.copyset);
    auto answer = co_await session.client.call<wire::SnapshotCopysetReply>(
        *address, wire::Method::kSnapshotCopyset, request, {}, kSnapshotTimeout);
    if (!answer) {
      status = fail(answer.error().within("chunkserver " + std::to_string(member)));
      continue;
    }
    std::printf("chunkserver %lu: snapshot at %lu, its log begins at %lu\n",
                static_cast<unsigned long>(member),
                static_cast<unsigned long>(answer->message.snapshot_index()),
                static_cast<unsigned long>(answer->message.first_index()));
  }
  co_return status;
}

struct ReplicaView {
  uint64_t chunkserver = 0;
  wire::CopysetStatus status;
};

json to_json(const ReplicaView& replica) {
  const wire::CopysetStatus& s = replica.status;
  return {{"chunkserver", replica.chunkserver},
          {"is_leader", s.leader_node() == replica.chunkserver},
          {"leader", s.leader_node()},
          {"term", s.term()},
          {"epoch", s.epoch()},
          {"committed", s.committed_index()},
          {"applied", s.applied_index()},
          {"first", s.first_index()},
          {"last", s.last_index()},
          {"last_term", s.last_term()},
          {"snapshot", s.snapshot_index()},
          {"members", std::vector<uint64_t>(s.members().begin(), s.members().end())},
          {"learners", std::vector<uint64_t>(s.learners().begin(), s.learners().end())},
          {"chunks", s.chunks_count()},
          {"chunks_missing", s.chunks_missing_count()},
          {"change", s.change()},
          {"error", s.error()}};
}

std::vector<std::string> to_row(const ReplicaView& replica) {
  const wire::CopysetStatus& s = replica.status;
  const bool leads = s.leader_node() == replica.chunkserver;
  return {std::to_string(replica.chunkserver),
          leads             ? "leader"
          : s.leader_node() ? "follower"
                            : "-",
          std::to_string(s.term()),
          std::to_string(s.epoch()),
          std::to_string(s.committed_index()),
          std::to_string(s.applied_index()),
          std::to_string(s.first_index()) + ".." + std::to_string(s.last_index()) + " (" +
              std::to_string(s.last_term()) + ")",
          std::to_string(s.chunks_count()),
          std::to_string(s.chunks_missing_count()),
          join(s.members()),
          join(s.learners()),
          !s.error().empty()   ? s.error()
          : s.change().empty() ? "-"
                               : s.change()};
}

io::Task<int> status(Session session) {
  auto place = co_await find_place(&session.cluster, session.flags.copyset);
  if (!place) co_return fail(place.error());
  json all = json::array();
  std::vector<std::vector<std::string>> rows{{"CHUNKSERVER", "ROLE", "TERM", "EPOCH", "COMMITTED",
                                              "APPLIED", "LOG (TERM)", "CHUNKS", "MISSING",
                                              "MEMBERS", "LEARNERS", "NOTE"}};
  for (uint64_t member : place->members) {
    auto address = place->address_of(member);
    if (!address) co_return fail(address.error());
    wire::CopysetStatusRequest request;
    request.set_copyset(session.flags.copyset);
    ReplicaView replica{.chunkserver = member};
    auto answer = co_await session.client.call<wire::CopysetStatusReply>(
        *address, wire::Method::kCopysetStatus, request, {}, kCallTimeout);
    if (answer && answer->message.copysets_size() == 1) {
      replica.status = answer->message.copysets(0);
    } else if (!answer) {
      replica.status.set_error(answer.error().message());
    }
    all.push_back(to_json(replica));
    rows.push_back(to_row(replica));
  }
  if (session.flags.as_json) {
    std::printf("%s\n", all.dump().c_str());
  } else {
    print_table(rows);
  }
  co_return 0;
}

io::Task<int> with_client(io::Env env, client::Cluster* cluster, rpc::ClusterKey key,
                          const RaftFlags* flags, Command command) {
  rpc::Client client(env, {}, std::move(key));
  const int exit_status =
      co_await command({.env = env, .cluster = *cluster, .client = client, .flags = *flags});
  co_await client.stop();
  co_return exit_status;
}

int run(const RaftFlags& flags, Command command) {
  auto target = resolve(flags.cluster);
  if (!target) return fail(target.error());
  return with_cluster(flags.cluster, [&](io::Env env, client::Cluster& cluster) {
    return with_client(env, &cluster, target->key, &flags, command);
  });
}

struct Parent {
  CLI::App& app;
  Action& action;
};

/// A subcommand that takes a copyset; its flags live as long as its action.
std::pair<CLI::App*, std::shared_ptr<RaftFlags>> add(Parent parent, const std::string& name,
                                                     const std::string& help, Command command) {
  auto flags = std::make_shared<RaftFlags>();
  CLI::App* c = parent.app.add_subcommand(name, help);
  c->add_option("COPYSET", flags->copyset, "number of the copyset: see `cairn copyset list`")
      ->required();
  add_cluster_options(*c, flags->cluster);
  Action& action = parent.action;
  c->callback(
      [flags, command, &action] { action = [flags, command] { return run(*flags, command); }; });
  return {c, flags};
}

std::pair<CLI::App*, std::shared_ptr<RaftFlags>> add_change(Parent parent, const std::string& name,
                                                            const std::string& help,
                                                            Command command) {
  auto [c, flags] = add(parent, name, help, command);
  c->add_option("--epoch", flags->epoch,
                "refuse unless the copyset's epoch is this one (default: any)");
  c->add_option("--timeout", flags->timeout_seconds, "seconds to wait for the end of the change")
      ->capture_default_str();
  c->add_flag("--json", flags->as_json, "print JSON");
  return {c, flags};
}

void add_changes(Parent parent) {
  auto [add_command, add_flags] =
      add_change(parent, "add-peer", "Add a replica, and wait until it has caught up", add_peer);
  add_command->add_option("PEER", add_flags->peer, "number of the chunkserver")->required();
  auto [remove_command, remove_flags] = add_change(
      parent, "remove-peer", "Remove a replica; its data waits in the recycler", remove_peer);
  remove_command->add_option("PEER", remove_flags->peer, "number of the chunkserver")->required();
  auto [change_command, change_flags] = add_change(
      parent, "change-peers", "Make these chunkservers the members, in one change", change_peers);
  change_command
      ->add_option("PEERS", change_flags->peers, "numbers of all chunkservers that hold it after")
      ->required()
      ->delimiter(',');
  auto [transfer_command, transfer_flags] =
      add_change(parent, "transfer", "Hand the leadership to another replica", transfer);
  transfer_command->add_option("PEER", transfer_flags->peer,
                               "number of the chunkserver (default: the best follower)");
}

}  // namespace

void add_raft_commands(CLI::App& app, Action& action) {
  CLI::App* raft = app.add_subcommand("raft", "A copyset's members and leader, by hand");
  raft->require_subcommand(1);
  const Parent parent{*raft, action};
  auto [status_command, status_flags] =
      add(parent, "status", "Show what each replica says of the copyset", status);
  status_command->add_flag("--json", status_flags->as_json, "print JSON");
  auto [leader_command, leader_flags] = add(parent, "leader", "Show who leads", leader);
  leader_command->add_flag("--json", leader_flags->as_json, "print JSON");
  add_changes(parent);
  auto [snapshot_command, snapshot_flags] =
      add(parent, "snapshot", "Take a snapshot now and cut the log", snapshot);
  snapshot_command->add_option("--on", snapshot_flags->on,
                               "on this chunkserver alone (default: on all members)");
  auto [reset_command, reset_flags] = add(
      parent, "reset-peers",
      "UNSAFE: let one survivor say who the members are, after the quorum is lost for ever. What "
      "it does not hold is lost; choose the one whose log ends last (`cairn raft status`)",
      reset_peers);
  reset_command->add_option("--on", reset_flags->on, "number of the surviving chunkserver")
      ->required();
  reset_command
      ->add_option("--peers", reset_flags->peers,
                   "the members from now on, the survivor among them (default: it alone)")
      ->delimiter(',');
  reset_command->add_flag("--accept-loss", reset_flags->accepts_loss,
                          "what the survivor does not hold is given up");
  reset_command->add_flag("--json", reset_flags->as_json, "print JSON");
}

}  // namespace cairn::cli
