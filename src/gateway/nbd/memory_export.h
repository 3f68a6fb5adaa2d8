/// MemoryExport: an export in memory, for tests and fuzzers. Knows which 64 KiB pages were written,
/// can be held up, and can be made to fail.
/// Threads: the reactor's.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "base/units.h"
#include "gateway/nbd/export.h"
#include "io/sync.h"

namespace cairn::nbd {

class MemoryExport final : public Export {
 public:
  static constexpr uint64_t kPageBytes = 64 * kKiB;

  MemoryExport(io::Executor& executor, BufferPool& buffers, ExportTraits traits)
      : buffers_(buffers), traits_(std::move(traits)), open_(executor) {
    open_.set();
  }

  const ExportTraits& traits() const override { return traits_; }
  /// While reset, operations wait before they do anything.
  io::Event& open() { return open_; }
  /// Every operation fails so from now on.
  void fail_with(std::optional<Error> failure) { failure_ = std::move(failure); }
  size_t operations_count() const { return operations_count_; }
  size_t under_way_count_max() const { return under_way_count_max_; }

  io::Task<Result<std::vector<client::ReadPiece>>> read(uint64_t offset_bytes,
                                                        uint64_t size_bytes) override {
    CO_TRY(co_await begin(offset_bytes, size_bytes));
    std::vector<client::ReadPiece> pieces;
    each_page(offset_bytes, size_bytes, [&](uint64_t page, uint64_t at, uint64_t size) {
      auto found = pages_.find(page);
      Buffer data;
      if (found != pages_.end()) data = buffers_.copy_of(ByteView(found->second).subspan(at, size));
      pieces.push_back({size, std::move(data)});
    });
    co_return std::move(pieces);
  }
  io::Task<Status> write(uint64_t offset_bytes, Buffer data) override {
    CO_TRY(co_await begin(offset_bytes, data.size_bytes()));
    const std::byte* from = data.data();
    each_page(offset_bytes, data.size_bytes(), [&](uint64_t page, uint64_t at, uint64_t size) {
      auto& bytes = pages_[page];
      bytes.resize(kPageBytes);
      std::copy_n(from, size, bytes.begin() + static_cast<std::ptrdiff_t>(at));
      from += size;
    });
    co_return ok();
  }
  io::Task<Status> zero(uint64_t offset_bytes, uint64_t size_bytes, bool may_deallocate) override {
    CO_TRY(co_await begin(offset_bytes, size_bytes));
    each_page(offset_bytes, size_bytes, [&](uint64_t page, uint64_t at, uint64_t size) {
      if (may_deallocate && size == kPageBytes) {
        pages_.erase(page);
        return;
      }
      auto& bytes = pages_[page];
      bytes.resize(kPageBytes);
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, std::byte{0});
    });
    co_return ok();
  }
  bool is_zero_fast(uint64_t offset_bytes, uint64_t size_bytes) const override {
    return offset_bytes % kPageBytes == 0 && size_bytes % kPageBytes == 0;
  }
  io::Task<Status> trim(uint64_t offset_bytes, uint64_t size_bytes) override {
    return zero(offset_bytes, size_bytes, true);
  }
  io::Task<Status> flush() override {
    CO_TRY(co_await begin(0, 0));
    co_return ok();
  }
  io::Task<Result<std::vector<client::Extent>>> extents(uint64_t offset_bytes,
                                                        uint64_t size_bytes) override {
    CO_TRY(co_await begin(offset_bytes, size_bytes));
    std::vector<client::Extent> extents;
    each_page(offset_bytes, size_bytes, [&](uint64_t page, uint64_t, uint64_t size) {
      const bool is_allocated = pages_.contains(page);
      if (!extents.empty() && extents.back().is_allocated == is_allocated) {
        extents.back().size_bytes += size;
      } else {
        extents.push_back({size, is_allocated});
      }
    });
    co_return std::move(extents);
  }

 private:
  io::Task<Status> begin(uint64_t offset_bytes, uint64_t size_bytes) {
    CHECK(offset_bytes <= traits_.size_bytes && size_bytes <= traits_.size_bytes - offset_bytes,
          "the server lets no range through that is not inside");
    ++operations_count_;
    under_way_count_max_ = std::max(under_way_count_max_, ++under_way_count_);
    co_await open_.wait();
    --under_way_count_;
    if (failure_) co_return *failure_;
    co_return ok();
  }
  template <typename Visit>
  static void each_page(uint64_t offset, uint64_t size, Visit visit) {
    while (size > 0) {
      const uint64_t at = offset % kPageBytes;
      const uint64_t part = std::min(size, kPageBytes - at);
      visit(offset / kPageBytes, at, part);
      offset += part;
      size -= part;
    }
  }

  BufferPool& buffers_;
  const ExportTraits traits_;
  io::Event open_;
  std::map<uint64_t, std::vector<std::byte>> pages_;
  std::optional<Error> failure_;
  size_t operations_count_ = 0;
  size_t under_way_count_ = 0;
  size_t under_way_count_max_ = 0;
};

/// Exports by name; no name is the first one.
class MemorySource final : public ExportSource {
 public:
  void add(std::shared_ptr<MemoryExport> exported) { exports_.push_back(std::move(exported)); }

  io::Task<Result<std::shared_ptr<Export>>> open(std::string name) override {
    for (const auto& exported : exports_) {
      if (name.empty() || exported->traits().name == name) {
        co_return std::shared_ptr<Export>(exported);
      }
    }
    co_return error(Errc::kNotFound, "there is no export '" + name + "'");
  }
  io::Task<Result<std::vector<std::string>>> list() override {
    std::vector<std::string> names;
    for (const auto& exported : exports_) names.push_back(exported->traits().name);
    co_return std::move(names);
  }

 private:
  std::vector<std::shared_ptr<MemoryExport>> exports_;
};

}  // namespace cairn::nbd
