/// What a topology file asks for, compared with what is there.
#include "cli/topology_file.h"

#include <gtest/gtest.h>

namespace cairn::cli {
namespace {

wire::ShowTopologyReply present() {
  wire::ShowTopologyReply reply;
  auto* pool = reply.add_pools();
  pool->set_id(1);
  pool->set_name("default");
  pool->set_physical_pool("default");
  pool->set_replicas_count(3);
  pool->set_copysets_per_chunkserver(100);
  auto* zone = reply.add_zones();
  zone->set_name("z1");
  zone->set_physical_pool("default");
  auto* server = reply.add_servers();
  server->set_name("s1");
  server->set_zone("z1");
  auto* chunkserver = reply.add_chunkservers();
  chunkserver->set_id(7);
  chunkserver->set_address("10.0.0.1:6800");
  chunkserver->set_service("read-write");
  chunkserver->add_tags("ssd");
  return reply;
}

std::vector<std::string> plan(const std::string& text, bool is_json = false) {
  const auto steps = plan_topology(text, is_json, present());
  if (!steps.ok()) return {"refused: " + steps.error().message()};
  std::vector<std::string> lines;
  for (const auto& step : *steps) lines.push_back(step.what);
  return lines;
}

using Lines = std::vector<std::string>;

TEST(TopologyFile, WhatIsSoAlreadyTakesNoStep) {
  EXPECT_EQ(plan(R"(
[[pool]]
name = "default"
physical_pool = "default"
replicas = 3
[[zone]]
name = "z1"
[[server]]
name = "s1"
zone = "z1"
[[chunkserver]]
id = 7
service = "read-write"
tags = ["ssd"]
)"),
            Lines());
  EXPECT_EQ(plan(""), Lines());
}

TEST(TopologyFile, StepsComeInTheOrderInWhichTheyWork) {
  EXPECT_EQ(plan(R"(
[[pool]]
name = "fast"
tags = ["nvme"]
copysets_per_chunkserver = 50
[[pool]]
name = "default"
replicas = 5
[[chunkserver]]
address = "10.0.0.1:6800"
service = "draining"
tags = []
[[server]]
name = "s2"
zone = "z2"
[[zone]]
name = "z2"
physical_pool = "far"
[[zone]]
name = "z1"
physical_pool = "far"
)"),
            Lines({"add zone z2: physical pool far", "set zone z1: physical pool far",
                   "add server s2 to zone z2", "set chunkserver 7: draining, tags -",
                   "add pool fast: tags nvme, copysets_per_chunkserver 50",
                   "set pool default: replicas 5"}));
}

TEST(TopologyFile, JsonSaysTheSame) {
  EXPECT_EQ(
      plan(R"({"zone": [{"name": "z9"}], "chunkserver": [{"id": 7, "service": "retired"}]})", true),
      Lines({"add zone z9", "set chunkserver 7: retired"}));
}

TEST(TopologyFile, MistakesAreNamed) {
  const auto refused = [](const std::string& text, const std::string& words) {
    const auto lines = plan(text);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("refused: "), std::string::npos) << lines[0];
    EXPECT_NE(lines[0].find(words), std::string::npos) << lines[0];
  };
  refused("[[zones]]\nname = \"z\"", "section 'zones'");
  refused("[zone]\nname = \"z\"", "write [[zone]]");
  refused("[[zone]]\nnome = \"z\"", "zone 1 has no key 'nome'");
  refused("[[zone]]\nphysical_pool = \"p\"", "needs a name");
  refused("[[pool]]\nname = \"p\"\nreplicas = 0", "replicas is a number above zero");
  refused("[[pool]]\nname = \"p\"\ntags = \"ssd\"", "tags is a list");
  refused("[[server]]\nname = \"s\"\nzone = \"z7\"", "neither in the file nor in the cluster");
  refused("[[chunkserver]]\nid = 8", "no chunkserver 8 has registered");
  refused("[[chunkserver]]\nid = 7\nservice = \"off\"", "read-write, draining or retired");
  refused("[[zone]\nname = 1", "topology file");
}

}  // namespace
}  // namespace cairn::cli
