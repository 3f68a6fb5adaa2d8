#include "cli/topology_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <toml.hpp>

#include "cli/admin.h"

namespace cairn::cli {

namespace {

using nlohmann::json;

Error refuse(std::string text) {
  return error(Errc::kInvalidArgument, std::move(text));
}

json to_json(const toml::value& value) {
  if (value.is_table()) {
    json object = json::object();
    for (const auto& [key, member] : value.as_table()) object[key] = to_json(member);
    return object;
  }
  if (value.is_array()) {
    json array = json::array();
    for (const auto& member : value.as_array()) array.push_back(to_json(member));
    return array;
  }
  if (value.is_integer()) return value.as_integer();
  if (value.is_boolean()) return value.as_boolean();
  if (value.is_string()) return value.as_string().str;
  return toml::format(value);
}

Result<json> parse(const std::string& text, bool is_json) {
  // The libraries throw; this is their edge.
  try {
    if (is_json) return json::parse(text);
    std::istringstream stream(text);
    return to_json(toml::parse(stream, "the topology file"));
  } catch (const std::exception& failure) {
    return refuse(failure.what());
  }
}

/// One entry of a section, read key by key: what is left over is a mistake.
class Entry {
 public:
  Entry(std::string section, const json& value) : section_(std::move(section)), value_(value) {}

  Status check(const std::set<std::string>& keys) const {
    if (!value_.is_object()) return refuse(section_ + " is no table");
    for (const auto& [key, member] : value_.items()) {
      if (!keys.contains(key)) return refuse(section_ + " has no key '" + key + "'");
    }
    return ok();
  }
  bool has(const std::string& key) const { return value_.contains(key); }
  Result<std::string> text(const std::string& key) const {
    if (!has(key) || !value_.at(key).is_string() || value_.at(key).get<std::string>().empty()) {
      return refuse(section_ + " needs a " + key + ", a text");
    }
    return value_.at(key).get<std::string>();
  }
  Result<std::string> text_or_none(const std::string& key) const {
    if (!has(key)) return std::string();
    return text(key);
  }
  /// 0: absent.
  Result<uint32_t> count(const std::string& key) const {
    if (!has(key)) return 0u;
    const json& member = value_.at(key);
    if (!member.is_number_integer() || member.get<int64_t>() < 1 ||
        member.get<int64_t>() > 1'000'000) {
      return refuse(section_ + ": " + key + " is a number above zero");
    }
    return member.get<uint32_t>();
  }
  Result<std::vector<std::string>> texts(const std::string& key) const {
    std::vector<std::string> list;
    if (!value_.at(key).is_array()) return refuse(section_ + ": " + key + " is a list of texts");
    for (const json& member : value_.at(key)) {
      if (!member.is_string()) return refuse(section_ + ": " + key + " is a list of texts");
      list.push_back(member.get<std::string>());
    }
    return list;
  }

 private:
  const std::string section_;
  const json& value_;
};

template <class Tags>
bool is_same(const Tags& present, const std::vector<std::string>& wanted) {
  return std::set<std::string>(present.begin(), present.end()) ==
         std::set<std::string>(wanted.begin(), wanted.end());
}

class Planning {
 public:
  explicit Planning(const wire::ShowTopologyReply& present) : present_(present) {}

  Status section(const json& document, const std::string& name,
                 Status (Planning::*take)(const Entry&)) {
    if (!document.contains(name)) return ok();
    const json& list = document.at(name);
    if (!list.is_array()) return refuse(name + " is a list: write [[" + name + "]]");
    for (size_t i = 0; i < list.size(); ++i) {
      const Entry entry(name + " " + std::to_string(i + 1), list.at(i));
      TRY((this->*take)(entry));
    }
    return ok();
  }

  Status take_zone(const Entry& entry) {
    TRY(entry.check({"name", "physical_pool"}));
    wire::PutZoneRequest request;
    request.set_name(TRY(entry.text("name")));
    request.set_physical_pool(TRY(entry.text_or_none("physical_pool")));
    zones_.insert(request.name());
    const auto known =
        find(present_.zones(), [&](const auto& zone) { return zone.name() == request.name(); });
    const std::string& physical = request.physical_pool();
    if (known && (physical.empty() || physical == known->physical_pool())) return ok();
    request.set_is_new(!known);
    steps_.push_back({(known ? "set zone " : "add zone ") + request.name() +
                          (physical.empty() ? "" : ": physical pool " + physical),
                      request});
    return ok();
  }

  Status take_server(const Entry& entry) {
    TRY(entry.check({"name", "zone"}));
    wire::PutServerRequest request;
    request.set_name(TRY(entry.text("name")));
    request.set_zone(TRY(entry.text("zone")));
    const auto has_zone =
        find(present_.zones(), [&](const auto& zone) { return zone.name() == request.zone(); });
    if (!has_zone && !zones_.contains(request.zone())) {
      return refuse("server " + request.name() + " is in zone " + request.zone() +
                    ", which is neither in the file nor in the cluster");
    }
    if (find(present_.servers(), [&](const auto& server) {
          return server.name() == request.name() && server.zone() == request.zone();
        })) {
      return ok();
    }
    steps_.push_back({"add server " + request.name() + " to zone " + request.zone(), request});
    return ok();
  }

  Status take_pool(const Entry& entry) {
    TRY(entry.check({"name", "physical_pool", "tags", "replicas", "copysets_per_chunkserver",
                     "chunkservers_min", "scatter_width_min"}));
    wire::PutPoolRequest request;
    request.set_name(TRY(entry.text("name")));
    const auto* known =
        find(present_.pools(), [&](const auto& pool) { return pool.name() == request.name(); });
    request.set_is_new(!known);
    const wire::PoolInfo now = known ? *known : wire::PoolInfo();
    std::string changes;
    const auto note = [&](const std::string& key, const std::string& value) {
      changes += (changes.empty() ? ": " : ", ") + key + " " + value;
    };
    const std::string physical = TRY(entry.text_or_none("physical_pool"));
    if (!physical.empty() && physical != now.physical_pool()) {
      request.set_physical_pool(physical);
      note("physical pool", physical);
    }
    if (entry.has("tags")) {
      const auto tags = TRY(entry.texts("tags"));
      if (!is_same(now.tags(), tags)) {
        request.set_sets_tags(true);
        for (const auto& tag : tags) request.add_tags(tag);
        note("tags", join(request.tags()));
      }
    }
    const auto number = [&](const std::string& key, uint32_t present, auto set) -> Status {
      const uint32_t wanted = TRY(entry.count(key));
      if (wanted == 0 || wanted == present) return ok();
      set(wanted);
      note(key, std::to_string(wanted));
      return ok();
    };
    TRY(number("replicas", now.replicas_count(),
               [&](uint32_t value) { request.set_replicas_count(value); }));
    TRY(number("copysets_per_chunkserver", now.copysets_per_chunkserver(),
               [&](uint32_t value) { request.set_copysets_per_chunkserver(value); }));
    TRY(number("chunkservers_min", now.chunkservers_min(),
               [&](uint32_t value) { request.set_chunkservers_min(value); }));
    TRY(number("scatter_width_min", now.scatter_width_min(),
               [&](uint32_t value) { request.set_scatter_width_min(value); }));
    if (known && changes.empty()) return ok();
    steps_.push_back({(known ? "set pool " : "add pool ") + request.name() + changes, request});
    return ok();
  }

  Status take_chunkserver(const Entry& entry) {
    TRY(entry.check({"id", "address", "service", "tags"}));
    const uint32_t id = TRY(entry.count("id"));
    const std::string address = TRY(entry.text_or_none("address"));
    const auto* known = find(present_.chunkservers(), [&](const auto& each) {
      return id > 0 ? each.id() == id : each.address() == address;
    });
    if (!known) {
      return refuse("no chunkserver " + (id > 0 ? std::to_string(id) : "at '" + address + "'") +
                    " has registered; start it first, or take it out of the file");
    }
    wire::SetChunkserversRequest request;
    request.add_chunkservers(known->id());
    std::string changes;
    const std::string service = TRY(entry.text_or_none("service"));
    if (!service.empty()) {
      request.set_service(TRY(parse_service(service)));
      request.set_sets_service(service != known->service());
      if (request.sets_service()) changes += ": " + service;
    }
    if (entry.has("tags")) {
      const auto tags = TRY(entry.texts("tags"));
      if (!is_same(known->tags(), tags)) {
        request.set_sets_tags(true);
        for (const auto& tag : tags) request.add_tags(tag);
        changes += (changes.empty() ? ": tags " : ", tags ") + join(request.tags());
      }
    }
    if (changes.empty()) return ok();
    steps_.push_back({"set chunkserver " + std::to_string(known->id()) + changes, request});
    return ok();
  }

  std::vector<TopologyStep> take_steps() { return std::move(steps_); }

 private:
  template <class List, class Is>
  static auto find(const List& list, Is is) -> decltype(&*list.begin()) {
    const auto found = std::find_if(list.begin(), list.end(), is);
    return found == list.end() ? nullptr : &*found;
  }

  const wire::ShowTopologyReply& present_;
  std::set<std::string> zones_;
  std::vector<TopologyStep> steps_;
};

}  // namespace

Result<std::vector<TopologyStep>> plan_topology(const std::string& text, bool is_json,
                                                const wire::ShowTopologyReply& present) {
  const json document = TRY(parse(text, is_json));
  if (!document.is_object()) return refuse("the topology file holds no sections");
  for (const auto& [key, member] : document.items()) {
    if (key != "pool" && key != "zone" && key != "server" && key != "chunkserver") {
      return refuse("the topology file has a section '" + key +
                    "'; it may have pool, zone, server and chunkserver");
    }
  }
  Planning planning(present);
  // Pools last: chunkservers have their zones and tags before a pool looks for them.
  TRY(planning.section(document, "zone", &Planning::take_zone));
  TRY(planning.section(document, "server", &Planning::take_server));
  TRY(planning.section(document, "chunkserver", &Planning::take_chunkserver));
  TRY(planning.section(document, "pool", &Planning::take_pool));
  return planning.take_steps();
}

}  // namespace cairn::cli
