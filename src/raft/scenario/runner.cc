#include "raft/scenario/runner.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <vector>

#include "raft/scenario/environment.h"

namespace cairn::raft::scenario {
namespace {

namespace fs = std::filesystem;

bool is_log_line(std::string_view line) {
  constexpr std::array<std::string_view, 5> kLevels = {"DEBUG ", "INFO ", "WARN ", "ERROR ",
                                                       "FATAL "};
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return std::ranges::any_of(kLevels, [line](auto level) { return line.starts_with(level); });
}

// What is compared: the text without the nodes' log lines. Nothing is as good as "ok": a directive
// prints that when it has nothing else to print.
std::string comparable(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (is_log_line(line)) continue;
    kept += line;
    kept += '\n';
  }
  while (kept.ends_with("\n\n")) kept.pop_back();
  if (kept.empty() || kept == "\n") return "ok\n";
  return kept;
}

void print_indented(std::ostream& out, std::string_view title, std::string_view text) {
  out << "  " << title << ":\n";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    out << "    " << line << '\n';
  }
}

Result<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return error(Errc::kIo, "cannot open " + path.string());
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return error(Errc::kIo, "cannot read " + path.string());
  return text;
}

Result<std::vector<fs::path>> files_below(const fs::path& path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (!fs::exists(status))
    return error(Errc::kNotFound, "no such file or directory: " + path.string());
  std::vector<fs::path> files;
  if (!fs::is_directory(status)) return std::vector{path};
  for (fs::recursive_directory_iterator at(path, failure), end; !failure && at != end;
       at.increment(failure)) {
    // Descriptions may stand among the scripts.
    if (at->is_regular_file() && at->path().extension() != ".md") files.push_back(at->path());
  }
  if (failure) return error(Errc::kIo, path.string() + ": " + failure.message());
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::unique_ptr<Environment> make_environment_for(const std::vector<Directive>& directives) {
  for (const Directive& directive : directives) {
    const std::string& name = directive.command.name;
    if (name == "committed" || name == "vote") return make_quorum_environment();
    if (name == "simple" || name == "enter-joint" || name == "leave-joint") {
      return make_confchange_environment();
    }
  }
  return make_interaction_environment();
}

Totals run_script(std::string_view name, std::string_view text, std::ostream& out) {
  const auto script = parse_script(text);
  if (!script) {
    out << name << ": " << script.error().message() << '\n';
    return {.passed = 0, .failed = 1};
  }
  Totals totals;
  const auto environment = make_environment_for(*script);
  for (const Directive& directive : *script) {
    const auto outcome = environment->run(directive);
    const std::string actual = comparable(outcome ? *outcome : outcome.error().message());
    const std::string expected = comparable(directive.expected);
    if (outcome && actual == expected) {
      ++totals.passed;
      continue;
    }
    ++totals.failed;
    out << name << ':' << directive.line << ": " << directive.text << '\n';
    print_indented(out, "expected", expected);
    print_indented(out, outcome ? "got" : "failed", actual);
  }
  return totals;
}

Result<Totals> run_path(const fs::path& path, std::ostream& out) {
  Totals totals;
  for (const fs::path& file : TRY(files_below(path))) {
    auto text = read_file(file);
    if (!text) {
      // The other files still tell something.
      out << text.error().message() << '\n';
      ++totals.failed;
      continue;
    }
    const Totals of_file = run_script(file.string(), *text, out);
    totals.passed += of_file.passed;
    totals.failed += of_file.failed;
  }
  return totals;
}

}  // namespace cairn::raft::scenario
