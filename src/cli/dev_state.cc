#include "cli/dev_state.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace cairn::cli {

using nlohmann::json;

namespace {

json to_json(const DevProcess& process) {
  return {{"name", process.name}, {"address", process.address}, {"http", process.http},
          {"dir", process.dir},   {"pid", process.pid},         {"started", process.started},
          {"peer", process.peer}};
}

DevProcess from_json(const json& value) {
  return {.name = value.at("name"),
          .address = value.at("address"),
          .http = value.value("http", ""),
          .dir = value.at("dir"),
          .pid = value.at("pid"),
          .started = value.at("started"),
          .peer = value.value("peer", "")};
}

json to_json(const std::vector<DevProcess>& processes) {
  json all = json::array();
  for (const DevProcess& process : processes) all.push_back(to_json(process));
  return all;
}

std::string addresses_of(const std::vector<DevProcess>& processes) {
  std::string addresses;
  for (const DevProcess& one : processes) addresses += (addresses.empty() ? "" : ",") + one.address;
  return addresses;
}

}  // namespace

std::vector<DevProcess*> DevState::processes() {
  std::vector<DevProcess*> all;
  for (DevProcess& one : etcd) all.push_back(&one);
  for (DevProcess& one : mds) all.push_back(&one);
  for (DevProcess& chunkserver : chunkservers) all.push_back(&chunkserver);
  all.push_back(&nbd);
  return all;
}

std::string DevState::mds_addresses() const {
  return addresses_of(mds);
}

std::string DevState::etcd_addresses() const {
  return addresses_of(etcd);
}

Result<DevState> load_dev_state(const std::string& dir) {
  const std::string path = dir + "/cluster.json";
  std::ifstream file(path);
  if (!file) {
    return error(Errc::kNotFound, "there is no development cluster in " + dir +
                                      "; start one with: cairn dev up --dir " + dir +
                                      " (or name a cluster with --mds and --key-file)");
  }
  // The library throws; this is its edge.
  try {
    const json value = json::parse(file);
    DevState state;
    state.dir = dir;
    const json& all_mds = value.at("mds");  // one stands alone in files of earlier versions
    if (all_mds.is_object()) state.mds.push_back(from_json(all_mds));
    if (all_mds.is_array()) {
      for (const json& one : all_mds) state.mds.push_back(from_json(one));
    }
    if (state.mds.empty()) return error(Errc::kCorrupt, path + " names no MDS");
    for (const json& one : value.value("etcd", json::array())) {
      state.etcd.push_back(from_json(one));
    }
    for (const json& chunkserver : value.at("chunkservers")) {
      state.chunkservers.push_back(from_json(chunkserver));
    }
    state.nbd = from_json(value.at("nbd"));
    state.nbd_uri = value.at("nbd_uri");
    state.volume = value.at("volume");
    return state;
  } catch (const json::exception& e) {
    return error(Errc::kCorrupt, path + " cannot be read (" + e.what() +
                                     "); remove the folder and run cairn dev up again");
  }
}

Status save_dev_state(const DevState& state) {
  const json value = {{"etcd", to_json(state.etcd)},
                      {"mds", to_json(state.mds)},
                      {"chunkservers", to_json(state.chunkservers)},
                      {"nbd", to_json(state.nbd)},
                      {"nbd_uri", state.nbd_uri},
                      {"volume", state.volume}};
  const std::string path = state.dir + "/cluster.json";
  {
    std::ofstream file(path + ".new");
    file << value.dump(2) << "\n";
    if (!file.flush()) return error(Errc::kIo, path + ".new cannot be written");
  }
  std::error_code failed;
  std::filesystem::rename(path + ".new", path, failed);
  if (failed) return error(Errc::kIo, path + ": " + failed.message());
  return ok();
}

}  // namespace cairn::cli
