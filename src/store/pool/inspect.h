/// Looking at a pool without opening it: for `cairn inspect pool DIR`. Changes nothing.
///
/// A record is a kind and fields; the caller prints it as text or as JSON, one a line.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <vector>

#include "io/disk.h"

namespace cairn::pool {

struct InspectField {
  std::string key;
  std::string value;
  bool is_text = true;  ///< false: a number or a truth value, unquoted in JSON
  InspectField(std::string k, std::string v) : key(std::move(k)), value(std::move(v)) {}
  InspectField(std::string k, const char* v) : key(std::move(k)), value(v) {}
  template <std::integral T>
  InspectField(std::string k, T v) : key(std::move(k)), is_text(false) {
    if constexpr (std::same_as<T, bool>) {
      value = v ? "true" : "false";
    } else {
      value = std::to_string(v);
    }
  }
};
struct InspectRecord {
  std::string kind;
  std::vector<InspectField> fields;
};
using InspectSink = std::function<void(const InspectRecord&)>;

/// "ready file=x bytes=7"; a value with spaces is quoted.
std::string to_text(const InspectRecord& record);
/// {"kind":"ready","file":"x","bytes":7}
std::string to_json(const InspectRecord& record);

/// Reports what is in `directory`; with `read_data` also whether ready files are zeros. Returns the
/// number of problems, each of which is a record of kind "problem". An error means that the
/// directory cannot be read at all.
io::Task<Result<uint64_t>> inspect(io::Disk& disk, std::string directory, bool read_data,
                                   InspectSink sink);

}  // namespace cairn::pool
