/// Structured logging: a line is a time (the sink's), a level, a component, a message and fields.
///
///   logger.info("segment opened", {{"sequence", 7}, {"bytes", 64 << 20}});
/// A Logger is a small value that is copied into components; the sink is made by the process.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace cairn {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  template <typename T>
    requires requires(T v) { v.value(); }
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v.value())) {}
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(LogLevel level, std::string_view component, std::string_view message,
                     std::initializer_list<LogField> fields) = 0;
};

class Logger {
 public:
  Logger() = default;  ///< drops everything
  Logger(LogSink& sink, std::string component, LogLevel level_min = LogLevel::kInfo)
      : sink_(&sink), component_(std::move(component)), level_min_(level_min) {}

  /// The same sink and level for a part: "chunkserver" gives "chunkserver.wal".
  Logger named(std::string_view part) const {
    Logger child(*this);
    if (!child.component_.empty()) child.component_ += '.';
    child.component_ += part;
    return child;
  }
  bool enabled(LogLevel level) const { return sink_ && level >= level_min_; }

  using Fields = std::initializer_list<LogField>;
  void debug(std::string_view message, Fields fields = {}) const {
    write(LogLevel::kDebug, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) const {
    write(LogLevel::kInfo, message, fields);
  }
  void warn(std::string_view message, Fields fields = {}) const {
    write(LogLevel::kWarn, message, fields);
  }
  void error(std::string_view message, Fields fields = {}) const {
    write(LogLevel::kError, message, fields);
  }

 private:
  void write(LogLevel level, std::string_view message, Fields fields) const {
    if (enabled(level)) sink_->write(level, component_, message, fields);
  }
  LogSink* sink_ = nullptr;
  std::string component_;
  LogLevel level_min_ = LogLevel::kInfo;
};

}  // namespace cairn
