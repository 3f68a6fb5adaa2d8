#include "mds/service/views.h"

#include <google/protobuf/util/json_util.h>

#include "mds/ops/ops.h"

namespace cairn::mds {

namespace {

Result<std::string> to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto written = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!written.ok()) {
    return error(Errc::kInternal, "a view cannot be written as JSON: " + written.ToString());
  }
  return text;
}

/// An operation that only looks, with a request that asks for everything.
template <class Request, class Reply, Result<Reply> (*kOperation)(Context&, const Request&)>
Result<std::string> view(Context& mds) {
  return to_json(TRY(kOperation(mds, Request())));
}

using View = Result<std::string> (*)(Context&);

const std::map<std::string, View, std::less<>>& all_views() {
  using namespace wire;
  static const std::map<std::string, View, std::less<>> views{
      {"status", view<ClusterStatusRequest, ClusterStatusReply, ops::cluster_status>},
      {"topology", view<ShowTopologyRequest, ShowTopologyReply, ops::show_topology>},
      {"volumes", view<ListVolumesRequest, ListVolumesReply, ops::list_volumes>},
      {"copysets", view<GetCopysetsRequest, GetCopysetsReply, ops::get_copysets>},
      {"operators", view<ListOperatorsRequest, ListOperatorsReply, ops::list_operators>},
  };
  return views;
}

}  // namespace

const std::vector<std::string>& view_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, view] : all_views()) all.push_back(name);
    return all;
  }();
  return names;
}

Result<std::string> show(Context& mds, std::string_view name) {
  const auto found = all_views().find(name);
  if (found != all_views().end()) return found->second(mds);
  std::string known;
  for (const auto& one : view_names()) known += (known.empty() ? "" : ", ") + one;
  return error(Errc::kNotFound, "there is no view '" + std::string(name) + "'; there are " + known);
}

}  // namespace cairn::mds
