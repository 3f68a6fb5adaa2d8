// cairn inspect wal|chunk|pool|meta: on-disk formats, read offline.
#include "mds/inspect.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/context.h"
#include "cli/meta_folder.h"
#include "store/chunk/inspect.h"
#include "store/kv/rocks_meta_store.h"
#include "store/pool/inspect.h"
#include "store/wal/inspect.h"

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;

struct InspectFlags {
  std::string path;
  bool as_json = false;
  bool read_data = false;
  bool no_data = false;
  bool blocks = false;
  bool summary = false;
  uint64_t group = 0;
  std::optional<uint64_t> index_from, index_to;
  std::string segment, kind;
};
using FlagsPtr = std::shared_ptr<InspectFlags>;

/// An inspector sees a disk whose root is the folder that was named, or the one above it.
struct Place {
  std::string root, name;
};
Place split(const std::string& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path trimmed = absolute.has_filename() ? absolute : absolute.parent_path();
  return {.root = trimmed.parent_path().string(), .name = trimmed.filename().string()};
}

pool::InspectSink printer(bool as_json) {
  return [as_json](const pool::InspectRecord& record) {
    std::printf("%s\n", (as_json ? pool::to_json(record) : pool::to_text(record)).c_str());
  };
}

int verdict(const Result<uint64_t>& problems) {
  if (!problems) return fail(problems.error());
  if (*problems == 0) return 0;
  std::fprintf(stderr, "cairn: %llu problems were found\n",
               static_cast<unsigned long long>(*problems));
  return kExitFailed;
}

Result<wal::RecordFilter> record_filter(const InspectFlags& flags) {
  wal::RecordFilter only;
  if (flags.group != 0) only.group = GroupId(flags.group);
  only.index_from = flags.index_from;
  only.index_to = flags.index_to;
  if (!flags.segment.empty()) {
    only.segment = wal::parse_segment_name(flags.segment);
    if (!only.segment) {
      return error(Errc::kInvalidArgument, "--segment wants a file name, segment_<16 hex digits>");
    }
  }
  if (!flags.kind.empty()) {
    only.kind = wal::parse_record_kind(flags.kind);
    if (!only.kind) {
      return error(Errc::kInvalidArgument,
                   "--kind wants entry, hard_state, snapshot, remove_group, moved_entry, "
                   "quarantine or known_gap");
    }
  }
  return only;
}

int inspect_wal(const FlagsPtr& flags) {
  Process process("inspect");
  const Place place = split(flags->path);
  auto disk = process.reactor().open_disk(place.root);
  if (!disk) return fail(disk.error());
  wal::InspectOptions options;
  options.directory = place.name;
  if (auto filter = record_filter(*flags); filter) {
    options.only = *filter;
  } else {
    return fail(filter.error());
  }
  options.records = options.batches = !flags->summary;
  options.json = flags->as_json;
  auto summary = process.reactor().run_until_done(
      wal::inspect(process.env(), **disk, options, [](std::string_view line) {
        std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      }));
  if (!summary) return fail(summary.error());
  return verdict(summary->problems_count);
}

int inspect_chunk(const FlagsPtr& flags) {
  Process process("inspect");
  const Place place = split(flags->path);
  auto disk = process.reactor().open_disk(place.root);
  if (!disk) return fail(disk.error());
  chunk::InspectOptions options;
  options.read_data = !flags->no_data;
  options.list_blocks = flags->blocks;
  const auto sink = printer(flags->as_json);
  auto problems = process.reactor().run_until_done(
      fs::is_directory(flags->path)
          ? chunk::inspect_chunk_directory(**disk, place.name, options, sink)
          : chunk::inspect_chunk_file(**disk, place.name, options, sink));
  return verdict(problems);
}

int inspect_pool(const FlagsPtr& flags) {
  Process process("inspect");
  const Place place = split(flags->path);
  auto disk = process.reactor().open_disk(place.root);
  if (!disk) return fail(disk.error());
  auto problems = process.reactor().run_until_done(
      pool::inspect(**disk, place.name, flags->read_data, printer(flags->as_json)));
  return verdict(problems);
}

int inspect_meta(const FlagsPtr& flags) {
  Process process("inspect");
  auto store =
      kv::RocksMetaStore::open(process.env(), meta_folder(flags->path), {.read_only = true});
  if (!store) return fail(store.error());
  auto problems = process.reactor().run_until_done(
      mds::inspect_meta(**store, [](std::string line) { std::printf("%s\n", line.c_str()); }));
  return verdict(problems);
}

CLI::App* add(CLI::App& parent, Action& action, const std::string& name, const std::string& help,
              const std::string& what, const FlagsPtr& flags, int (*run)(const FlagsPtr&)) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->add_option(what, flags->path, "what to read; its server must not be running")
      ->required();
  command->add_flag("--json", flags->as_json, "one JSON object a line");
  command->callback([flags, run, &action] { action = [flags, run] { return run(flags); }; });
  return command;
}

}  // namespace

void add_inspect_commands(CLI::App& app, Action& action) {
  CLI::App* inspect =
      app.add_subcommand("inspect", "Read and verify the files of a stopped server");
  inspect->require_subcommand(1);
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* c = add(*inspect, action, "wal", "A write-ahead log", "DIR", flags, inspect_wal);
  c->add_option("--group", flags->group, "only this group's records");
  c->add_option("--from", flags->index_from, "only entries and snapshot marks from this index on");
  c->add_option("--to", flags->index_to, "... and up to this one");
  c->add_option("--segment", flags->segment, "only this file's records: segment_<16 hex digits>");
  c->add_option("--kind", flags->kind,
                "only records of this kind: entry, hard_state, snapshot, remove_group, "
                "moved_entry, quarantine, known_gap");
  c->add_flag("--summary", flags->summary, "segments and verdicts alone");
  c = add(*inspect, action, "chunk", "A chunk file, or all in a folder", "FILE|DIR", flags,
          inspect_chunk);
  c->add_flag("--no-data", flags->no_data, "headers and tables alone; read no block");
  c->add_flag("--blocks", flags->blocks, "a line for every written block");
  c = add(*inspect, action, "pool", "A pool of chunk files", "DIR", flags, inspect_pool);
  c->add_flag("--read-data", flags->read_data, "check that ready files are zeros");
  add(*inspect, action, "meta", "An MDS's database", "DIR", flags, inspect_meta);
}

}  // namespace cairn::cli
