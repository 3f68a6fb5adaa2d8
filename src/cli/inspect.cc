// cairn inspect wal|chunk|pool|meta: on-disk formats, read offline.
#include "mds/inspect.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/commands.h"
#include "cli/context.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::cli {

namespace {

int inspect_meta(const std::string& path) {
  Process process("inspect");
  auto store = kv::RocksMetaStore::open(process.env(), path, {.read_only = true});
  if (!store) return fail(store.error());
  auto bad = process.reactor().run_until_done(
      mds::inspect_meta(**store, [](std::string line) { std::printf("%s\n", line.c_str()); }));
  if (!bad) return fail(bad.error());
  return *bad == 0 ? 0 : kExitFailed;
}

}  // namespace

void add_inspect_commands(CLI::App& app, Action& action) {
  CLI::App* inspect = app.add_subcommand("inspect", "Read on-disk formats of stopped servers");
  inspect->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* meta = inspect->add_subcommand("meta", "An MDS's database, a JSON object a line");
  meta->add_option("DIR", *path, "its folder")->required();
  meta->callback([path, &action] { action = [path] { return inspect_meta(*path); }; });
}

}  // namespace cairn::cli
