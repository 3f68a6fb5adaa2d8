#include "store/wal/inspect.h"

#include <algorithm>

#include "store/wal/incarnation.h"
#include "store/wal/recovery.h"

namespace cairn::wal {

namespace {

/// One line of output: `what key=value ...`, or a JSON object.
class Line {
 public:
  Line(bool json, std::string_view what) : json_(json) {
    if (json_) {
      text_ = "{\"what\":\"" + std::string(what) + "\"";
    } else {
      text_ = what;
    }
  }
  Line& number(std::string_view key, uint64_t value) { return raw(key, std::to_string(value)); }
  Line& text(std::string_view key, std::string_view value) {
    if (value.empty()) return *this;
    return raw(key, json_ ? quoted(value) : std::string(value));
  }
  std::string done() const { return json_ ? text_ + "}" : text_; }

 private:
  Line& raw(std::string_view key, const std::string& value) {
    text_ += json_ ? ",\"" : " ";
    text_ += key;
    text_ += json_ ? "\":" : "=";
    text_ += value;
    return *this;
  }
  static std::string quoted(std::string_view value) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : value) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte < 0x20 || byte >= 0x7f) {
        out += "\\u00";
        out += kDigits[byte >> 4];
        out += kDigits[byte & 15];
        continue;
      }
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + "\"";
  }
  bool json_;
  std::string text_;
};

class Inspector {
 public:
  Inspector(io::Env env, io::Disk& disk, InspectOptions options,
            std::function<void(std::string_view)> print)
      : env_(env), disk_(disk), options_(std::move(options)), print_(std::move(print)) {}

  io::Task<Result<InspectSummary>> run();

 private:
  io::Task<Status> show_segment(uint64_t sequence);
  io::Task<Status> show_identity();
  void show_batch(const ScannedBatch& batch);
  void show_record(const ScannedBatch& batch, const RecordView& record, bool is_damaged);
  void show_verdict(const RecoveredLog& log);
  Line line(std::string_view what) const { return {options_.json, what}; }
  bool is_wanted(uint64_t group) const {
    return !options_.only.group || options_.only.group->value() == group;
  }

  io::Env env_;
  io::Disk& disk_;
  const InspectOptions options_;
  std::function<void(std::string_view)> print_;
  InspectSummary summary_;
  uint64_t segment_bytes_ = 0;  ///< greatest of any header; 0: there is none
};

io::Task<Result<InspectSummary>> Inspector::run() {
  auto names = CO_TRY(co_await disk_.list(options_.directory));
  CO_TRY(co_await show_identity());
  for (const std::string& name : names) {
    const auto sequence = parse_segment_name(name);
    if (sequence) CO_TRY(co_await show_segment(*sequence));
  }
  WalOptions options;
  options.directory = options_.directory;
  options.segment_bytes = segment_bytes_;  // as the log was made: a shorter file was truncated
  const auto log = CO_TRY(co_await recover(env_, disk_, options));
  show_verdict(log);
  co_return summary_;
}

io::Task<Status> Inspector::show_identity() {
  const auto identity = co_await load_incarnation(disk_, options_.directory);
  if (identity.code() == Errc::kIo) co_return identity.error();
  if (!identity.ok()) {
    ++summary_.problems_count;
    print_(line("identity").text("damage", identity.error().message()).done());
  } else if (*identity) {
    print_(line("identity")
               .number("token", (*identity)->token)
               .number("owner", (*identity)->owner)
               .done());
  }
  co_return ok();
}

io::Task<Status> Inspector::show_segment(uint64_t sequence) {
  io::OpenOptions open;
  open.access = io::Access::kDirect;
  open.read_only = true;
  const std::string path = options_.directory + "/" + segment_name(sequence);
  std::shared_ptr<io::File> file = CO_TRY(co_await disk_.open(path, open));
  const uint64_t file_bytes = CO_TRY(co_await file->size());
  Buffer memory = allocate_segment_buffer(file_bytes);
  const MutableByteView bytes = memory.mutable_view();
  const auto unreadable_bytes = co_await read_segment(env_, file, bytes);
  const auto scan = CO_TRY(scan_segment(bytes, sequence, token_in(bytes, sequence), true));
  ++summary_.segments_count;
  Line segment = line("segment");
  segment.number("sequence", sequence).number("bytes", file_bytes);
  if (scan.header) {
    segment_bytes_ = std::max(segment_bytes_, scan.header->segment_bytes);
    segment.number("token", scan.header->token)
        .number("first_batch", scan.header->first_batch)
        .number("previous_sequence", scan.header->previous_sequence);
  } else {
    segment.text("header", scan.header_problem);
  }
  if (unreadable_bytes) segment.number("unreadable_at", *unreadable_bytes);
  segment.number("batches", scan.batches.size());
  if (!options_.only.segment || *options_.only.segment == sequence) print_(segment.done());
  for (const ScannedBatch& batch : scan.batches) show_batch(batch);
  co_return ok();
}

void Inspector::show_batch(const ScannedBatch& batch) {
  ++summary_.batches_count;
  const BatchHeader& header = batch.view.header;
  if (options_.batches && !options_.only.is_set()) {
    print_(line("batch")
               .number("number", header.number)
               .number("offset", batch.offset_bytes)
               .number("bytes", header.total_bytes())
               .number("records", header.records_count)
               .number("durable_up_to", header.durable_up_to)
               .number("oldest_sequence", header.oldest_sequence)
               .text("flags", header.flags & kBatchOpening ? "opening" : "")
               .done());
  }
  for (size_t i = 0; i < batch.view.records.size(); ++i) {
    const bool is_damaged = std::ranges::binary_search(batch.damaged, i);
    show_record(batch, batch.view.records[i], is_damaged);
  }
}

void Inspector::show_record(const ScannedBatch& batch, const RecordView& record, bool is_damaged) {
  ++summary_.records_count;
  if (is_damaged) ++summary_.problems_count;
  const RecordHeader& header = record.header;
  const RecordFilter& only = options_.only;
  if (only.segment && *only.segment != batch.view.header.sequence) return;
  if (!only.matches(header) || !(options_.records || is_damaged)) return;
  Line shown = line("record");
  shown.text("kind", to_string(header.kind)).number("group", header.group);
  if (header.is_entry()) {
    shown.number("index", header.index).number("term", header.term).number("type", header.type);
    shown.number("payload_bytes", header.payload_bytes);
  } else if (header.kind == RecordKind::kHardState) {
    shown.number("term", header.term).number("vote", header.extra).number("commit", header.index);
  } else if (header.kind == RecordKind::kSnapshot) {
    shown.number("index", header.index).number("term", header.term);
    shown.number("resets", header.flags & kSnapshotResetsLog ? 1 : 0);
  } else if (header.kind == RecordKind::kKnownGap) {
    shown.number("first_batch", header.index).number("last_batch", header.term);
  } else if (header.kind == RecordKind::kQuarantine) {
    shown.text("reason", as_text(record.head));
  }
  shown.number("head_bytes", header.head_bytes)
      .number("segment", batch.view.header.sequence)
      .number("batch", batch.view.header.number);
  if (is_damaged) shown.text("damage", "payload_is_rotten");
  print_(shown.done());
}

void Inspector::show_verdict(const RecoveredLog& log) {
  const Replay& replay = log.replay;
  for (const Gap& gap : replay.gaps()) {
    ++summary_.problems_count;
    print_(line("gap")
               .number("first_batch", gap.first_missing)
               .number("last_batch", gap.last_missing)
               .number("known", gap.is_known ? 1 : 0)
               .text("why", gap.what)
               .done());
  }
  for (const auto& [id, group] : replay.groups()) {
    ++summary_.groups_count;
    if (!group.quarantine_reason.empty()) ++summary_.problems_count;
    if (!is_wanted(id)) continue;
    Line shown = line("group");
    shown.number("group", id)
        .number("term", group.hard_state.term.value())
        .number("vote", group.hard_state.vote)
        .number("commit", group.hard_state.commit.value());
    if (group.snapshot) shown.number("snapshot_index", group.snapshot->index.value());
    if (!group.entries.empty()) {
      shown.number("first_index", group.entries.begin()->first)
          .number("last_index", group.entries.rbegin()->first);
    }
    print_(shown.text("quarantine", group.quarantine_reason).done());
  }
  print_(line("log")
             .number("oldest_sequence", replay.oldest_sequence())
             .number("last_sequence", replay.last_sequence())
             .number("last_batch", replay.last_batch())
             .number("batches", replay.batches_count())
             .number("batches_cut", replay.batches_cut())
             .number("groups", summary_.groups_count)
             .number("problems", summary_.problems_count)
             .text("cut", replay.cut_reason())
             .done());
}

}  // namespace

bool RecordFilter::matches(const RecordHeader& record) const {
  if (group && group->value() != record.group) return false;
  if (kind && *kind != record.kind) return false;
  const bool has_index = record.is_entry() || record.kind == RecordKind::kSnapshot;
  if ((index_from || index_to) && !has_index) return false;
  return record.index >= index_from.value_or(0) && record.index <= index_to.value_or(UINT64_MAX);
}

std::optional<RecordKind> parse_record_kind(std::string_view name) {
  for (auto kind = uint8_t{1}; kind <= static_cast<uint8_t>(RecordKind::kKnownGap); ++kind) {
    if (to_string(RecordKind{kind}) == name) return RecordKind{kind};
  }
  return std::nullopt;
}

io::Task<Result<InspectSummary>> inspect(io::Env env, io::Disk& disk, InspectOptions options,
                                         std::function<void(std::string_view)> print) {
  Inspector inspector(env, disk, std::move(options), std::move(print));
  co_return co_await inspector.run();
}

}  // namespace cairn::wal
