#include "io/real/log_sink.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace cairn::io::real {
namespace {

constexpr int64_t kTimeNs = 1795367281123456789;  // 2026-11-22T17:08:01.123Z

TEST(LogLine, IsOneLineOfTextWithFields) {
  EXPECT_EQ(format_log_line(kTimeNs, LogLevel::kInfo, "chunkserver.wal", "segment opened",
                            {{"sequence", 7}, {"bytes", 64 << 20}}),
            "2026-11-22T17:08:01.123Z info chunkserver.wal segment opened sequence=7 "
            "bytes=67108864");
  EXPECT_EQ(format_log_line(0, LogLevel::kWarn, "", "no component", {}),
            "1970-01-01T00:00:00.000Z warn - no component");
}

TEST(LogLine, ValuesThatWouldReadAmbiguouslyAreQuoted) {
  EXPECT_EQ(format_log_line(0, LogLevel::kError, "c", "m",
                            {{"plain", "a/b:c"},
                             {"empty", ""},
                             {"spaces", "a b"},
                             {"equals", "a=b"},
                             {"quotes", "a\"b\\"},
                             {"lines", "a\nb\x01"}}),
            "1970-01-01T00:00:00.000Z error c m plain=a/b:c empty=\"\" spaces=\"a b\" "
            "equals=\"a=b\" quotes=\"a\\\"b\\\\\" lines=\"a\\nb\\u0001\"");
  EXPECT_EQ(format_log_line(0, LogLevel::kInfo, "c", "forged\n1970 line", {}).find('\n'),
            std::string::npos);
}

TEST(LogJson, IsOneObjectOfStrings) {
  EXPECT_EQ(format_log_json(kTimeNs, LogLevel::kDebug, "mds", "said \"hello\"",
                            {{"path", "C:\\x\n"}, {"count", 3}}),
            "{\"time\":\"2026-11-22T17:08:01.123Z\",\"level\":\"debug\",\"component\":\"mds\","
            "\"message\":\"said \\\"hello\\\"\",\"path\":\"C:\\\\x\\n\",\"count\":\"3\"}");
}

TEST(SpdlogSink, AppendsEachLineToItsFileAtOnce) {
  std::string path = (std::filesystem::temp_directory_path() / "cairn_log_XXXXXX").string();
  ::close(::mkstemp(path.data()));
  const auto content = [&] {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  auto sink = SpdlogSink::open({.file_path = path});
  ASSERT_TRUE(sink.ok());
  const Logger logger(**sink, "test");
  logger.info("percent {} %v signs stay", {{"key", "value"}});
  logger.debug("below the level");
  EXPECT_TRUE(std::regex_match(
      content(), std::regex("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z info test percent "
                            "\\{\\} %v signs stay key=value\n")))
      << content();
  auto again = SpdlogSink::open({.file_path = path, .json = true});
  ASSERT_TRUE(again.ok());
  Logger(**again, "test").named("part").error("second");
  EXPECT_NE(content().find("key=value\n{\"time\""), std::string::npos);
  EXPECT_NE(content().find("\"component\":\"test.part\""), std::string::npos);
  std::filesystem::remove(path);
}

TEST(SpdlogSink, AFileThatCannotBeOpenedIsAnError) {
  EXPECT_EQ(SpdlogSink::open({.file_path = "/proc/none/log"}).code(), Errc::kIo);
}

}  // namespace
}  // namespace cairn::io::real
