// cairn meta dump|load: the metadata as one file, and back.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "cli/context.h"
#include "cli/etcd_mds.h"
#include "cli/meta_folder.h"
#include "store/etcd/backup.h"
#include "store/kv/dump.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;

constexpr size_t kPairsPerRead = 1000;
constexpr uint64_t kDumpBytesMax = 4 * kGiB;
constexpr Duration kEtcdTimeout = 10s;  // of each page

/// A folder, or an etcd.
struct MetaFlags {
  std::string data;
  EtcdFlags etcd;
  std::string file;
  bool is_member = false;
};

/// Gives the content page by page, in order; the last page is empty.
using NextPage = std::function<Result<std::vector<kv::KeyValue>>()>;

Result<uint64_t> write_dump(const NextPage& next, const std::string& path) {
  std::ofstream file(path + ".new", std::ios::binary | std::ios::trunc);
  // Without the mark: it belongs to the log of one group.
  kv::DumpWriter writer("", [&](ByteView piece) {
    file.write(reinterpret_cast<const char*>(piece.data()),
               static_cast<std::streamsize>(piece.size()));
  });
  for (;;) {
    const auto pairs = TRY(next());
    for (const auto& pair : pairs) writer.add(pair);
    if (pairs.empty()) break;
  }
  writer.finish();
  if (!file.flush()) return error(Errc::kIo, path + ".new cannot be written");
  std::error_code failed;
  fs::rename(path + ".new", path, failed);
  if (failed) return error(Errc::kIo, path + ": " + failed.message());
  return writer.pairs_count();
}

Result<uint64_t> dump_folder(Process& process, const MetaFlags& flags) {
  const auto store =
      TRY(kv::RocksMetaStore::open(process.env(), meta_folder(flags.data), {.read_only = true}));
  const auto view = TRY(store->view());
  return write_dump([&] { return view->next(kPairsPerRead); }, flags.file);
}

Result<uint64_t> dump_etcd(Process& process, const MetaFlags& flags) {
  const auto connection = TRY(EtcdConnection::open(process, flags.etcd));
  etcd::ContentReader reader(connection->etcd(), etcd::Layout(flags.etcd.prefix), kEtcdTimeout);
  return write_dump([&] { return process.reactor().run_until_done(reader.next()); }, flags.file);
}

int dump(const MetaFlags& flags) {
  Process process("meta");
  const auto count = flags.data.empty() ? dump_etcd(process, flags) : dump_folder(process, flags);
  if (!count) return fail(count.error());
  std::printf("%llu records are in %s\n", static_cast<unsigned long long>(*count),
              flags.file.c_str());
  return 0;
}

Result<kv::Content> read_dump(const std::string& path) {
  std::error_code failed;
  const uint64_t size_bytes = fs::file_size(path, failed);
  if (failed) return error(Errc::kNotFound, path + ": " + failed.message());
  if (size_bytes > kDumpBytesMax) return error(Errc::kCorrupt, path + " is too large for a dump");
  std::string bytes(size_bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size_bytes))) {
    return error(Errc::kIo, path + " cannot be read");
  }
  auto content = kv::decode_dump(as_bytes(bytes));
  if (!content) return content.error().within(path);
  return content;
}

Status load_into_etcd(Process& process, const MetaFlags& flags, kv::Content content) {
  const auto connection = TRY(EtcdConnection::open(process, flags.etcd));
  return process.reactor().run_until_done(etcd::load(
      connection->etcd(), etcd::Layout(flags.etcd.prefix), std::move(content.pairs), kEtcdTimeout));
}

Status load_into_folder(Process& process, const MetaFlags& flags, kv::Content content) {
  const std::string folder = flags.is_member ? flags.data + "/store" : flags.data;
  if (fs::exists(flags.data + "/wal")) {
    return error(Errc::kAlreadyExists,
                 flags.data + " is a member of a group already; load into a new folder");
  }
  auto store = TRY(kv::RocksMetaStore::open(process.env(), folder));
  auto view = TRY(store->view());
  if (!TRY(view->next(1)).empty() || !view->mark().empty()) {
    return error(Errc::kAlreadyExists, folder + " holds metadata; nothing was loaded");
  }
  content.mark.clear();
  return process.reactor().run_until_done(store->replace(std::move(content)));
}

int load(const MetaFlags& flags) {
  Process process("meta");
  auto content = read_dump(flags.file);
  if (!content) return fail(content.error());
  const size_t count = content->pairs.size();
  const bool is_etcd = flags.data.empty();
  const Status loaded = is_etcd ? load_into_etcd(process, flags, std::move(*content))
                                : load_into_folder(process, flags, std::move(*content));
  if (!loaded) return fail(loaded.error());
  const std::string where = is_etcd ? "etcd, under " + flags.etcd.prefix : flags.data;
  std::printf("%zu records are loaded into %s\n", count, where.c_str());
  return 0;
}

CLI::App* add(CLI::App& parent, Action& action, const std::string& name, const std::string& help,
              const std::shared_ptr<MetaFlags>& flags, int (*run)(const MetaFlags&)) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->add_option("FILE", flags->file, "the dump (docs/formats/meta.md)")->required();
  auto* data = command->add_option("--data", flags->data, "folder of the MDS");
  add_etcd_options(*command, flags->etcd);
  command->callback([flags, run, data, &action] {
    if (data->empty() == flags->etcd.endpoints.empty()) {
      throw CLI::RequiredError("--data, or --etcd-endpoints");
    }
    action = [flags, run] { return run(*flags); };
  });
  return command;
}

}  // namespace

std::string meta_folder(const std::string& data) {
  return fs::exists(data + "/store/CURRENT") ? data + "/store" : data;
}

void add_meta_commands(CLI::App& app, Action& action) {
  CLI::App* meta = app.add_subcommand("meta", "The metadata as one file: backup and restore");
  meta->require_subcommand(1);
  auto flags = std::make_shared<MetaFlags>();
  add(*meta, action, "dump", "Write an MDS's metadata, as of one moment; the MDS may run", flags,
      dump);
  CLI::App* c =
      add(*meta, action, "load",
          "Fill the empty folder of an MDS that does not run, or an etcd that no MDS uses", flags,
          load);
  c->add_flag("--member", flags->is_member,
              "the folder is of one of several MDS: load the same dump for each of them, then "
              "start all with --init");
}

}  // namespace cairn::cli
