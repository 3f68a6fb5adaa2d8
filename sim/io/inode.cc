#include "sim/io/disk_image.h"

namespace cairn::sim {

namespace {
/// Of at most a page.
bool all_zero(ByteView bytes) {
  static constexpr std::array<std::byte, kPageBytes> kZeros{};
  CHECK(bytes.size() <= kPageBytes);
  return std::memcmp(bytes.data(), kZeros.data(), bytes.size()) == 0;
}

/// Calls `each(page index, offset in the page, bytes)` for the pages under a range.
template <typename Each>
void for_each_page(uint64_t offset_bytes, ByteView bytes, Each each) {
  while (!bytes.empty()) {
    const uint64_t in_page = offset_bytes % kPageBytes;
    const size_t count = std::min<size_t>(bytes.size(), kPageBytes - in_page);
    each(offset_bytes / kPageBytes, in_page, bytes.first(count));
    offset_bytes += count;
    bytes = bytes.subspan(count);
  }
}
}  // namespace

Inode::Page& Inode::page(uint64_t index) {
  if (index >= pages_.size()) pages_.resize(index + 1);
  if (!pages_[index]) pages_[index] = std::make_unique<Page>();
  return *pages_[index];
}

void Inode::write(uint64_t offset_bytes, std::span<const ByteView> parts, uint64_t stamp) {
  for (const ByteView part : parts) {
    write_part(offset_bytes, part, stamp);
    offset_bytes += part.size();
  }
  size_bytes_ = std::max(size_bytes_, offset_bytes);
}

void Inode::write_part(uint64_t offset_bytes, ByteView bytes, uint64_t stamp) {
  for_each_page(offset_bytes, bytes, [&](uint64_t index, uint64_t in_page, ByteView piece) {
    // Zeros over what was never written change nothing, whatever becomes of them.
    if (!find(index) && all_zero(piece)) return;
    Page& at = page(index);
    if (!at.durable) {
      at.durable = std::make_unique_for_overwrite<std::byte[]>(kPageBytes);
      std::memcpy(at.durable.get(), at.data.data(), kPageBytes);
    }
    std::memcpy(at.data.data() + in_page, piece.data(), piece.size());
    const size_t last = (in_page + piece.size() - 1) / kSectorBytes;
    for (size_t sector = in_page / kSectorBytes; sector <= last; ++sector) {
      at.stamps[sector] = stamp;
      at.forgotten_mask &= static_cast<uint8_t>(~(1u << sector));
    }
    if (!std::exchange(at.is_listed, true)) volatile_pages_.push_back(index);
  });
}

void Inode::read(uint64_t offset_bytes, MutableByteView into) const {
  CHECK(offset_bytes + into.size() <= size_bytes_, "a read lies within the file");
  for_each_page(offset_bytes, into, [&](uint64_t index, uint64_t in_page, ByteView piece) {
    auto* to = const_cast<std::byte*>(piece.data());
    const Page* from = find(index);
    if (from) {
      std::memcpy(to, from->data.data() + in_page, piece.size());
    } else {
      std::memset(to, 0, piece.size());
    }
  });
}

void Inode::reserve(uint64_t end_bytes) {
  reserved_bytes_ = std::max(reserved_bytes_, end_bytes);
  size_bytes_ = std::max(size_bytes_, end_bytes);
}

void Inode::drop_pages_from(uint64_t size_bytes) {
  const uint64_t keep_count = (size_bytes + kPageBytes - 1) / kPageBytes;
  if (pages_.size() > keep_count) pages_.resize(keep_count);
  std::erase_if(volatile_pages_, [&](uint64_t index) { return index >= keep_count; });
  const uint64_t in_page = size_bytes % kPageBytes;
  if (in_page != 0 && keep_count <= pages_.size() && pages_[keep_count - 1]) {
    Page& last = *pages_[keep_count - 1];
    std::memset(last.data.data() + in_page, 0, kPageBytes - in_page);
    if (last.durable) std::memset(last.durable.get() + in_page, 0, kPageBytes - in_page);
  }
}

void Inode::truncate(uint64_t size_bytes) {
  // The size is volatile; what is cut off is gone at once, on the medium too: a simplification
  // that only makes the old size come back with zeros instead of the old bytes.
  if (size_bytes < size_bytes_) {
    drop_pages_from(size_bytes);
    reserved_bytes_ = std::min(reserved_bytes_, size_bytes);
  }
  size_bytes_ = size_bytes;
}

void Inode::settle(Page& at) {
  if (at.is_any_volatile()) return;
  at.durable.reset();
  at.forgotten_mask = 0;
}

void Inode::make_durable(uint64_t offset_bytes, std::span<const ByteView> parts, uint64_t stamp) {
  for (const ByteView part : parts) {
    make_part_durable(offset_bytes, part, stamp);
    offset_bytes += part.size();
  }
  durable_size_bytes_ = std::max(durable_size_bytes_, std::min(offset_bytes, size_bytes_));
}

void Inode::make_part_durable(uint64_t offset_bytes, ByteView bytes, uint64_t stamp) {
  for_each_page(offset_bytes, bytes, [&](uint64_t index, uint64_t in_page, ByteView piece) {
    if (!find(index)) return;
    Page& at = page(index);
    if (!at.durable) return;  // a newer durable write covered all of it
    const size_t last = (in_page + piece.size() - 1) / kSectorBytes;
    for (size_t sector = in_page / kSectorBytes; sector <= last; ++sector) {
      if (at.durable_stamps[sector] > stamp) continue;
      const uint64_t begin = sector * kSectorBytes;
      if (at.stamps[sector] == stamp) {
        std::memcpy(at.durable.get() + begin, at.data.data() + begin, kSectorBytes);
      } else {
        // Written over meanwhile by something volatile: only this write's own bytes are promised.
        const uint64_t from = std::max(begin, in_page);
        const uint64_t to = std::min(begin + kSectorBytes, in_page + piece.size());
        std::memcpy(at.durable.get() + from, piece.data() + (from - in_page), to - from);
      }
      at.durable_stamps[sector] = stamp;
    }
    settle(at);
  });
}

Inode::Snapshot Inode::begin_sync() {
  Snapshot snapshot;
  snapshot.size_bytes = size_bytes_;
  std::sort(volatile_pages_.begin(), volatile_pages_.end());
  std::vector<uint64_t> still;
  for (const uint64_t index : volatile_pages_) {
    Page& at = page(index);
    if (!at.is_any_volatile()) {
      at.is_listed = false;
      continue;
    }
    still.push_back(index);
    uint8_t mask = 0;
    for (size_t sector = 0; sector < kSectorsPerPage; ++sector) {
      if (at.is_volatile(sector) && !(at.forgotten_mask & (1u << sector))) {
        mask |= static_cast<uint8_t>(1u << sector);
      }
    }
    if (mask == 0) continue;
    auto data = std::make_unique_for_overwrite<std::byte[]>(kPageBytes);
    std::memcpy(data.get(), at.data.data(), kPageBytes);
    snapshot.pages.push_back({index, at.stamps, mask, std::move(data)});
  }
  volatile_pages_ = std::move(still);
  return snapshot;
}

void Inode::end_sync(const Snapshot& snapshot) {
  for (const auto& saved : snapshot.pages) {
    if (!find(saved.page_index)) continue;  // truncated meanwhile
    Page& at = page(saved.page_index);
    for (size_t sector = 0; sector < kSectorsPerPage; ++sector) {
      if (!(saved.sectors_mask & (1u << sector))) continue;
      if (!at.durable || at.durable_stamps[sector] >= saved.stamps[sector]) continue;
      const uint64_t begin = sector * kSectorBytes;
      std::memcpy(at.durable.get() + begin, saved.data.get() + begin, kSectorBytes);
      at.durable_stamps[sector] = saved.stamps[sector];
    }
    settle(at);
  }
  // A durable write may have extended it since the sync began.
  durable_size_bytes_ = std::min(std::max(durable_size_bytes_, snapshot.size_bytes), size_bytes_);
}

void Inode::forget_volatile(Rng& rng) {
  for (const uint64_t index : volatile_pages_) {
    if (!rng.chance(0.5)) continue;
    Page& at = page(index);
    for (size_t sector = 0; sector < kSectorsPerPage; ++sector) {
      if (at.is_volatile(sector)) at.forgotten_mask |= static_cast<uint8_t>(1u << sector);
    }
  }
}

void Inode::lose_power(Rng& rng, LossMode mode) {
  std::sort(volatile_pages_.begin(), volatile_pages_.end());
  for (const uint64_t index : volatile_pages_) {
    Page& at = page(index);
    at.is_listed = false;
    for (size_t sector = 0; sector < kSectorsPerPage; ++sector) {
      if (!at.is_volatile(sector)) continue;
      std::byte* now = at.data.data() + sector * kSectorBytes;
      const std::byte* before = at.durable.get() + sector * kSectorBytes;
      const bool forgotten = at.forgotten_mask & (1u << sector);
      const uint64_t draw = rng.below(5);
      if (forgotten || mode == LossMode::kAllOld || (mode == LossMode::kEachItsOwn && draw < 2)) {
        std::memcpy(now, before, kSectorBytes);
      } else if (mode == LossMode::kEachItsOwn && draw == 4) {
        const uint64_t split = rng.between(1, kSectorBytes - 1);
        if (rng.chance(0.5)) {
          std::memcpy(now + split, before + split, kSectorBytes - split);
        } else {
          std::memcpy(now, before, split);
        }
      }
    }
    at.durable_stamps = at.stamps;
    settle(at);
  }
  volatile_pages_.clear();
  if (size_bytes_ != durable_size_bytes_ && mode != LossMode::kAllNew &&
      (mode == LossMode::kAllOld || rng.chance(0.5))) {
    drop_pages_from(std::min(size_bytes_, durable_size_bytes_));
    size_bytes_ = durable_size_bytes_;
  }
  durable_size_bytes_ = size_bytes_;
}

void Inode::flip_bit(uint64_t offset_bytes, unsigned bit) {
  CHECK(offset_bytes < size_bytes_ && bit < 8);
  Page& at = page(offset_bytes / kPageBytes);
  const auto mask = static_cast<std::byte>(1u << bit);
  at.data[offset_bytes % kPageBytes] ^= mask;
  if (at.durable) at.durable[offset_bytes % kPageBytes] ^= mask;
}

uint64_t Inode::hash() const {
  uint64_t hash = size_bytes_ + 0x9e3779b97f4a7c15;
  for (uint64_t index = 0; index < pages_.size(); ++index) {
    if (!pages_[index] || all_zero(pages_[index]->data)) continue;
    hash = (hash ^ index) * 0xff51afd7ed558ccd;
    for (size_t at = 0; at < kPageBytes; at += 8) {
      hash =
          (hash ^ load<uint64_t>(ByteView(pages_[index]->data).subspan(at))) * 0xc4ceb9fe1a85ec53;
      hash ^= hash >> 29;
    }
  }
  return hash;
}

}  // namespace cairn::sim
