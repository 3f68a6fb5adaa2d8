#include "raft/scenario/script.h"

#include <charconv>

namespace cairn::raft::scenario {
namespace {

constexpr std::string_view kSpace = " \t\r";
constexpr std::string_view kSeparator = "----";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kAny = " \t\r\n";
  const size_t first = text.find_first_not_of(kAny);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kAny) + 1 - first);
}

Error invalid(std::string why) {
  return error(Errc::kInvalidArgument, std::move(why));
}

std::vector<std::string> split_values(std::string_view list) {
  std::vector<std::string> values;
  while (true) {
    const size_t start = list.find_first_not_of(", \t");
    if (start == std::string_view::npos) return values;
    list.remove_prefix(start);
    const std::string_view value = list.substr(0, list.find_first_of(", \t"));
    values.emplace_back(value);
    list.remove_prefix(value.size());
  }
}

// Takes one argument off the front of `line`, which begins with it.
Result<Argument> take_argument(std::string_view& line) {
  Argument argument;
  const size_t key_end = std::min(line.find_first_of(" \t="), line.size());
  argument.key = line.substr(0, key_end);
  line.remove_prefix(key_end);
  if (line.empty() || line.front() != '=') return argument;
  if (argument.key.empty()) return invalid("an argument without a name");
  line.remove_prefix(1);
  if (line.starts_with('(')) {
    const size_t close = line.find(')');
    if (close == std::string_view::npos) return invalid("missing ) after " + argument.key);
    argument.values = split_values(line.substr(1, close - 1));
    line.remove_prefix(close + 1);
    return argument;
  }
  const size_t value_end = std::min(line.find_first_of(kSpace), line.size());
  argument.values.emplace_back(line.substr(0, value_end));
  line.remove_prefix(value_end);
  return argument;
}

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  size_t number() const { return number_; }  ///< of the line that next() returned last
  std::string_view peek() const {
    std::string_view line = rest_.substr(0, rest_.find('\n'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
  std::string_view next() {
    const std::string_view line = peek();
    const size_t end = rest_.find('\n');
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    ++number_;
    return line;
  }

 private:
  std::string_view rest_;
  size_t number_ = 0;
};

std::string read_expected(Lines& lines) {
  std::string expected;
  const bool fenced = !lines.done() && lines.peek() == kSeparator;
  if (fenced) lines.next();
  while (!lines.done()) {
    const std::string_view line = lines.next();
    if (fenced && line == kSeparator && !lines.done() && lines.peek() == kSeparator) {
      lines.next();
      break;
    }
    if (!fenced && trimmed(line).empty()) break;
    expected += line;
    expected += '\n';
  }
  return expected;
}

// `first` is the line where the directive begins.
Result<Directive> read_directive(Lines& lines, std::string_view first) {
  Directive directive{.line = lines.number(), .text = std::string(trimmed(first))};
  const auto at = [&directive](const std::string& why) {
    return invalid("line " + std::to_string(directive.line) + ": " + why);
  };
  while (directive.text.ends_with('\\') && !lines.done()) {
    directive.text.pop_back();
    directive.text += ' ';
    directive.text += trimmed(lines.next());
  }
  auto command = parse_command(directive.text);
  if (!command) return at(command.error().message());
  directive.command = std::move(command).value();
  bool separated = false;
  while (!lines.done() && !separated) {
    const std::string_view line = lines.next();
    separated = line == kSeparator;
    if (!separated) directive.input += std::string(line) + '\n';
  }
  if (!separated) return at("missing ---- after " + directive.text);
  directive.input = trimmed(directive.input);
  directive.expected = read_expected(lines);
  return directive;
}

}  // namespace

const Argument* Command::find(std::string_view key) const {
  for (const Argument& argument : arguments) {
    if (argument.key == key && !argument.values.empty()) return &argument;
  }
  return nullptr;
}

std::vector<std::string> Command::words() const {
  std::vector<std::string> words;
  for (const Argument& argument : arguments) {
    if (argument.values.empty()) words.push_back(argument.key);
  }
  return words;
}

Result<Command> parse_command(std::string_view line) {
  line = trimmed(line);
  Command command;
  command.name = line.substr(0, line.find_first_of(kSpace));
  line.remove_prefix(command.name.size());
  // "name:" is an old way to write a command without arguments.
  if (command.name.ends_with(':')) command.name.pop_back();
  if (command.name.empty()) return invalid("a command is missing");
  while (true) {
    const size_t start = line.find_first_not_of(kSpace);
    if (start == std::string_view::npos) return command;
    line.remove_prefix(start);
    command.arguments.push_back(TRY(take_argument(line)));
  }
}

Result<std::vector<Directive>> parse_script(std::string_view text) {
  std::vector<Directive> directives;
  Lines lines(text);
  while (!lines.done()) {
    const std::string_view line = lines.next();
    const std::string_view content = trimmed(line);
    if (content.empty() || content.starts_with('#')) continue;
    if (content == "subtest" || content.starts_with("subtest ")) continue;  // names a part
    directives.push_back(TRY(read_directive(lines, line)));
  }
  return directives;
}

Result<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) {
    return invalid("not a number: '" + std::string(text) + "'");
  }
  return value;
}

Result<bool> parse_bool(std::string_view text) {
  if (text == "true" || text == "t" || text == "1") return true;
  if (text == "false" || text == "f" || text == "0") return false;
  return invalid("neither true nor false: '" + std::string(text) + "'");
}

}  // namespace cairn::raft::scenario
