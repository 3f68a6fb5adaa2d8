/// Admin: what administrative subcommands share: calls to the active MDS, and how they are
/// declared.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/context.h"
#include "client/mds_caller.h"
#include "wire/topology.pb.h"

namespace cairn::cli {

/// Calls whichever MDS serves, until the deadline.
/// Threads: the reactor's.
class Admin {
 public:
  Admin(io::Env env, client::MdsCaller& mds, bool as_json)
      : as_json(as_json), env_(env), mds_(mds) {}

  template <class Reply, class Request>
  io::Task<Result<Reply>> call(wire::Method method, Request request) {
    return mds_.call<Reply>(method, std::move(request), env_.clock.now() + kDeadline);
  }

  const bool as_json;
  static constexpr Duration kDeadline = 10s;

 private:
  io::Env env_;
  client::MdsCaller& mds_;
};

struct AdminFlags {
  ClusterOptions cluster;
  bool as_json = false;
};

/// Runs a task that ends with the exit status.
using AdminTask = std::function<io::Task<int>(Admin&)>;
int with_admin(const AdminFlags& flags, const AdminTask& task);

/// A subcommand with --dir, --mds, --key-file and --json. `flags` lives as long as `task`.
CLI::App* add_admin_command(CLI::App& parent, Action& action, const std::string& name,
                            const std::string& help, std::shared_ptr<AdminFlags> flags,
                            AdminTask task);

void print_done(const Admin& admin, const std::string& text);
/// Prints `text` (or {"done": text}), or the error; the exit status.
template <class Reply>
int tell_done(const Admin& admin, const Result<Reply>& reply, const std::string& text) {
  if (!reply) return fail(reply.error());
  print_done(admin, text);
  return 0;
}

/// "ssd,new"; "-" for none.
std::string join(const google::protobuf::RepeatedPtrField<std::string>& texts);

/// Errors: kInvalidArgument.
Result<wire::ServiceState> parse_service(const std::string& name);
/// Sends the request and tells what it did; the exit status.
io::Task<int> set_chunkservers(Admin& admin, wire::SetChunkserversRequest request);

/// "2 min 5 s".
std::string format_duration(int64_t ms);

}  // namespace cairn::cli
