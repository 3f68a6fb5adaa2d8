/// Identities and counters as types: a ChunkId is never passed where a CopysetId is meant.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace cairn {

/// A number that names something. No arithmetic; zero means "none" unless the alias says otherwise.
template <typename Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr bool is_none() const { return value_ == 0; }
  auto operator<=>(const Id&) const = default;

 private:
  uint64_t value_ = 0;
};

/// A number that counts: terms, log indexes, epochs. Can be advanced and subtracted.
template <typename Tag>
class Ordinal {
 public:
  constexpr Ordinal() = default;
  constexpr explicit Ordinal(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr bool is_zero() const { return value_ == 0; }
  auto operator<=>(const Ordinal&) const = default;

  constexpr Ordinal operator+(uint64_t count) const { return Ordinal(value_ + count); }
  constexpr Ordinal operator-(uint64_t count) const { return Ordinal(value_ - count); }
  constexpr uint64_t operator-(Ordinal other) const { return value_ - other.value_; }
  constexpr Ordinal& operator++() {
    ++value_;
    return *this;
  }
  constexpr Ordinal& operator+=(uint64_t count) {
    value_ += count;
    return *this;
  }

 private:
  uint64_t value_ = 0;
};

using ChunkId = Id<struct ChunkIdTag>;      ///< unique in the cluster, never used again
using CopysetId = Id<struct CopysetIdTag>;  ///< a replication group of chunkservers
using GroupId = Id<struct GroupIdTag>;      ///< a Raft group within one process
using NodeId = Id<struct NodeIdTag>;        ///< a member of a Raft group (one a process)
using VolumeId = Id<struct VolumeIdTag>;
using SessionId = Id<struct SessionIdTag>;  ///< of a volume; drawn by the client that opens
using PoolId = Id<struct PoolIdTag>;
using ZoneId = Id<struct ZoneIdTag>;
using ServerId = Id<struct ServerIdTag>;
using ChunkserverId = Id<struct ChunkserverIdTag>;

using Term = Ordinal<struct TermTag>;
using LogIndex = Ordinal<struct LogIndexTag>;
using Epoch = Ordinal<struct EpochTag>;  ///< of a copyset's configuration
using Fence = Ordinal<struct FenceTag>;  ///< of a volume's owner

template <typename Tag>
std::string to_string(Id<Tag> id) {
  return std::to_string(id.value());
}
template <typename Tag>
std::string to_string(Ordinal<Tag> ordinal) {
  return std::to_string(ordinal.value());
}

}  // namespace cairn

template <typename Tag>
struct std::hash<cairn::Id<Tag>> {
  size_t operator()(cairn::Id<Tag> id) const noexcept { return std::hash<uint64_t>()(id.value()); }
};
template <typename Tag>
struct std::hash<cairn::Ordinal<Tag>> {
  size_t operator()(cairn::Ordinal<Tag> o) const noexcept {
    return std::hash<uint64_t>()(o.value());
  }
};
