#include "io/real/log_sink.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace cairn::io::real {

namespace {

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string format_time(int64_t wall_time_ns) {
  const time_t seconds = wall_time_ns / 1'000'000'000;
  const int milliseconds = static_cast<int>(wall_time_ns / 1'000'000 % 1000);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  const size_t size_bytes = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string time(text, size_bytes);
  std::snprintf(text, sizeof(text), ".%03dZ", milliseconds);
  return time + text;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

/// The escapes of JSON, which serve the text form as well.
void append_escaped(std::string& line, std::string_view text, bool escape_quotes) {
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else if (is_control(c)) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned char>(c));
      line += code;
    } else {
      if (escape_quotes && (c == '"' || c == '\\')) line += '\\';
      line += c;
    }
  }
}

void append_quoted(std::string& line, std::string_view text) {
  line += '"';
  append_escaped(line, text, true);
  line += '"';
}

bool needs_quotes(std::string_view value) {
  return value.empty() || std::ranges::any_of(value, [](char c) {
           return c == ' ' || c == '"' || c == '=' || is_control(c);
         });
}

void append_member(std::string& line, std::string_view key, std::string_view value) {
  line += line.back() == '{' ? "" : ",";
  append_quoted(line, key);
  line += ':';
  append_quoted(line, value);
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

std::string format_log_line(int64_t wall_time_ns, LogLevel level, std::string_view component,
                            std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = format_time(wall_time_ns);
  line += ' ';
  line += name_of(level);
  line += ' ';
  line += component.empty() ? "-" : component;
  line += ' ';
  append_escaped(line, message, false);
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (needs_quotes(field.value)) {
      append_quoted(line, field.value);
    } else {
      line += field.value;
    }
  }
  return line;
}

std::string format_log_json(int64_t wall_time_ns, LogLevel level, std::string_view component,
                            std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = "{";
  append_member(line, "time", format_time(wall_time_ns));
  append_member(line, "level", name_of(level));
  append_member(line, "component", component);
  append_member(line, "message", message);
  for (const LogField& field : fields) append_member(line, field.key, field.value);
  line += '}';
  return line;
}

struct SpdlogSink::State {
  spdlog::logger logger;
  bool json = false;
};

SpdlogSink::SpdlogSink(std::unique_ptr<State> state) : state_(std::move(state)) {}
SpdlogSink::~SpdlogSink() = default;

Result<std::unique_ptr<SpdlogSink>> SpdlogSink::open(LogOptions options) {
  spdlog::sink_ptr sink;
  try {  // Here and nowhere else spdlog throws.
    if (options.file_path.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(options.file_path);
    }
  } catch (const spdlog::spdlog_ex& failure) {
    return error(Errc::kIo, std::string("open the log: ") + failure.what());
  }
  auto state = std::make_unique<State>(State{spdlog::logger("", std::move(sink)), options.json});
  state->logger.set_pattern("%v");
  state->logger.set_level(spdlog::level::trace);
  state->logger.flush_on(spdlog::level::trace);
  return std::unique_ptr<SpdlogSink>(new SpdlogSink(std::move(state)));
}

void SpdlogSink::write(LogLevel level, std::string_view component, std::string_view message,
                       std::initializer_list<LogField> fields) {
  const int64_t now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
  const auto format = state_->json ? format_log_json : format_log_line;
  const std::string line = format(now_ns, level, component, message, fields);
  // A string_view argument is taken as it is: no formatting of what people wrote.
  state_->logger.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace cairn::io::real
