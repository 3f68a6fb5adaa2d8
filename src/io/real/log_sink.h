/// SpdlogSink: log lines to standard error or a file, as text or JSON.
///
///   2026-11-22T17:08:01.123Z info chunkserver.wal segment opened sequence=7 bytes=67108864
///   {"time":"…","level":"info","component":"chunkserver.wal","message":"segment opened",…}
/// In text, a value that has spaces, quotes, '=' or control characters in it is quoted; control
/// characters are escaped everywhere, so that nobody forges a line. In JSON every field is a
/// string: a key keeps its type whatever its value. Threads: the reactor's. Lines are written at
/// once, unbuffered: a crash loses none.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"

namespace cairn::io::real {

struct LogOptions {
  std::string file_path;  ///< appended to; empty: standard error
  bool json = false;
};

class SpdlogSink final : public LogSink {
 public:
  /// kIo if the file cannot be opened.
  static Result<std::unique_ptr<SpdlogSink>> open(LogOptions options);
  ~SpdlogSink() override;

  void write(LogLevel level, std::string_view component, std::string_view message,
             std::initializer_list<LogField> fields) override;

 private:
  struct State;
  explicit SpdlogSink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// One line without its end; `wall_time_ns` counts from 1970. Pure, for SpdlogSink and its tests.
std::string format_log_line(int64_t wall_time_ns, LogLevel level, std::string_view component,
                            std::string_view message, std::initializer_list<LogField> fields);
std::string format_log_json(int64_t wall_time_ns, LogLevel level, std::string_view component,
                            std::string_view message, std::initializer_list<LogField> fields);

}  // namespace cairn::io::real
