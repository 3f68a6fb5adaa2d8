/// UnderWay: counts something as under way for as long as the frame that holds it lives; a crash
/// ends both.
#pragma once

#include <cstddef>

namespace cairn::sim {

class UnderWay {
 public:
  explicit UnderWay(size_t& count) : count_(count) { ++count_; }
  ~UnderWay() { --count_; }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  size_t& count_;  ///< outlives the frame
};

}  // namespace cairn::sim
