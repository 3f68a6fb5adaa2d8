// cairn operator list|cancel
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/admin.h"
#include "wire/schedule.pb.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

struct OperatorFlags {
  bool with_ended = false;
  uint64_t id = 0;
};

json to_json(const wire::OperatorInfo& info) {
  return {{"id", info.id()},
          {"kind", info.kind()},
          {"cause", info.cause()},
          {"priority", info.priority()},
          {"copyset", info.copyset()},
          {"epoch", info.epoch()},
          {"source", info.source()},
          {"target", info.target()},
          {"reason", info.reason()},
          {"left_ms", info.left_ms()},
          {"begun", info.is_begun()},
          {"copy_done_bytes", info.copy_done_bytes()},
          {"copy_total_bytes", info.copy_total_bytes()},
          {"failures", info.failures_count()},
          {"last_error", info.last_error()}};
}

std::string progress_of(const wire::OperatorInfo& info) {
  if (info.copy_total_bytes() > 0) {
    return format_bytes(info.copy_done_bytes()) + " of " + format_bytes(info.copy_total_bytes());
  }
  return info.is_begun() ? "begun" : "waits";
}

std::vector<std::string> row_of(const wire::OperatorInfo& info, std::string state) {
  const auto member = [](uint64_t id) { return id ? std::to_string(id) : std::string("-"); };
  std::string reason = info.reason();
  if (info.failures_count() > 0) {
    reason += "; failed " + std::to_string(info.failures_count()) + " times: " + info.last_error();
  }
  return {std::to_string(info.id()),
          info.cause(),
          info.kind(),
          std::to_string(info.copyset()),
          member(info.source()),
          member(info.target()),
          std::move(state),
          std::move(reason)};
}

io::Task<int> list(Admin& admin, std::shared_ptr<OperatorFlags> flags) {
  wire::ListOperatorsRequest request;
  request.set_with_ended(flags->with_ended);
  auto reply = co_await admin.call<wire::ListOperatorsReply>(wire::Method::kListOperators, request);
  if (!reply) co_return fail(reply.error());
  if (admin.as_json) {
    json operators = json::array(), ended = json::array();
    for (const auto& info : reply->operators()) operators.push_back(to_json(info));
    for (const auto& one : reply->ended()) {
      json value = to_json(one.info());
      value["outcome"] = one.outcome();
      value["ended_ms_ago"] = one.ended_ms_ago();
      ended.push_back(std::move(value));
    }
    std::printf(
        "%s\n",
        json{{"operators", operators}, {"count", reply->operators_count()}, {"ended", ended}}
            .dump()
            .c_str());
    co_return 0;
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "CAUSE", "KIND", "COPYSET", "FROM", "TO", "STATE", "REASON"}};
  for (const auto& info : reply->operators()) rows.push_back(row_of(info, progress_of(info)));
  for (const auto& one : reply->ended()) {
    rows.push_back(
        row_of(one.info(), one.outcome() + ", " + format_duration(one.ended_ms_ago()) + " ago"));
  }
  print_table(rows);
  const auto shown = static_cast<uint32_t>(reply->operators_size());
  if (shown < reply->operators_count()) {
    std::printf("and %u more\n", reply->operators_count() - shown);
  }
  co_return 0;
}

io::Task<int> cancel(Admin& admin, std::shared_ptr<OperatorFlags> flags) {
  wire::CancelOperatorRequest request;
  request.set_id(flags->id);
  auto reply =
      co_await admin.call<wire::CancelOperatorReply>(wire::Method::kCancelOperator, request);
  if (!reply) co_return fail(reply.error());
  if (admin.as_json) {
    std::printf("%s\n", json{{"cancelled", flags->id}}.dump().c_str());
  } else {
    std::printf("operator %lu cancelled; the schedulers may plan another for its copyset\n",
                static_cast<unsigned long>(flags->id));
  }
  co_return 0;
}

}  // namespace

void add_operator_commands(CLI::App& app, Action& action) {
  CLI::App* parent =
      app.add_subcommand("operator", "Show and cancel what heals and balances the cluster");
  parent->require_subcommand(1);
  auto flags = std::make_shared<OperatorFlags>();
  auto shared = std::make_shared<AdminFlags>();
  CLI::App* c = add_admin_command(*parent, action, "list", "List the operators under way", shared,
                                  [flags](Admin& admin) { return list(admin, flags); });
  c->add_flag("--ended", flags->with_ended, "and the last that are over, with how they ended");
  c = add_admin_command(*parent, action, "cancel",
                        "Give up an operator; what its leader has begun goes on there", shared,
                        [flags](Admin& admin) { return cancel(admin, flags); });
  c->add_option("ID", flags->id, "as `cairn operator list` shows it")->required();
}

}  // namespace cairn::cli
