/// PrintSink: what processes log, on standard output with its virtual time.
/// Threads: one.
#pragma once

#include <cstdio>

#include "base/log.h"
#include "sim/io/world.h"

namespace cairn::sim {

class PrintSink : public LogSink {
 public:
  explicit PrintSink(const World& world) : world_(world), begin_(world.now()) {}
  void write(LogLevel level, std::string_view component, std::string_view message,
             std::initializer_list<LogField> fields) override {
    static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
    const double seconds = std::chrono::duration<double>(world_.now() - begin_).count();
    std::string line(component);
    line += ' ';
    line += message;
    for (const LogField& field : fields) line += " " + std::string(field.key) + "=" + field.value;
    std::printf("%11.6f %-5s %s\n", seconds, kNames[static_cast<int>(level)], line.c_str());
  }

 private:
  const World& world_;
  const Instant begin_;
};

}  // namespace cairn::sim
