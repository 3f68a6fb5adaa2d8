#include "sim/io/disk_image.h"

namespace cairn::sim {

std::string DiskImage::normalize(const std::string& path) {
  std::string result;
  size_t at = 0;
  while (at <= path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view name(path.data() + at, slash - at);
    if (!name.empty() && name != ".") {
      CHECK(name != "..", "a path stays within its disk");
      if (!result.empty()) result += '/';
      result += name;
    }
    at = slash + 1;
  }
  return result;
}

std::string DiskImage::parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

DiskImage::InodePointer DiskImage::find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : entries_.at(found->second).inode;
}

Result<DiskImage::InodePointer> DiskImage::open(const std::string& path, bool create,
                                                bool exclusive) {
  if (path.empty() || directories_.contains(path)) {
    return error(Errc::kInvalidArgument, "open " + path + ": is a directory");
  }
  if (auto inode = find(path)) {
    if (create && exclusive) return error(Errc::kAlreadyExists, "create " + path + ": exists");
    return inode;
  }
  const std::string parent = parent_of(path);
  if (!create || (!parent.empty() && !directories_.contains(parent))) {
    return error(Errc::kNotFound, "open " + path + ": no such file or directory");
  }
  const uint64_t number = next_inode_number_++;
  auto inode = std::make_shared<Inode>(number);
  entries_[number] = {.inode = inode, .name = path, .durable_name = ""};
  names_[path] = number;
  return inode;
}

Status DiskImage::make_directory(const std::string& path) {
  if (path.empty() || directories_.contains(path)) return ok();
  if (names_.contains(path)) {
    return error(Errc::kAlreadyExists, "make directory " + path + ": a file has this name");
  }
  const std::string parent = parent_of(path);
  if (!parent.empty() && !directories_.contains(parent)) {
    return error(Errc::kNotFound, "make directory " + path + ": the parent does not exist");
  }
  directories_.insert(path);
  return ok();
}

Result<std::vector<std::string>> DiskImage::list(const std::string& path) const {
  if (!path.empty() && !directories_.contains(path)) {
    return error(Errc::kNotFound, "list " + path + ": no such directory");
  }
  std::vector<std::string> names;
  const size_t skip = path.empty() ? 0 : path.size() + 1;
  for (const auto& [name, number] : names_) {
    if (parent_of(name) == path) names.push_back(name.substr(skip));
  }
  for (const auto& name : directories_) {
    if (parent_of(name) == path) names.push_back(name.substr(skip) + "/");
  }
  std::sort(names.begin(), names.end());
  return names;
}

void DiskImage::forget_if_nameless(uint64_t number) {
  const Entry& entry = entries_.at(number);
  if (entry.name.empty() && entry.durable_name.empty()) entries_.erase(number);
}

void DiskImage::unlink_name(const std::string& name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;
  const uint64_t number = found->second;
  names_.erase(found);
  entries_.at(number).name.clear();
  forget_if_nameless(number);
}

Status DiskImage::rename(const std::string& from, const std::string& to) {
  const auto found = names_.find(from);
  if (found == names_.end()) {
    return error(Errc::kNotFound, "rename " + from + ": no such file");
  }
  const std::string parent = parent_of(to);
  if ((!parent.empty() && !directories_.contains(parent)) || directories_.contains(to)) {
    return error(Errc::kNotFound, "rename " + from + " to " + to + ": no such place");
  }
  if (from == to) return ok();
  const uint64_t number = found->second;
  unlink_name(to);
  names_.erase(from);
  names_[to] = number;
  entries_.at(number).name = to;
  return ok();
}

Status DiskImage::remove(const std::string& path) {
  if (names_.contains(path)) {
    unlink_name(path);
    return ok();
  }
  if (!directories_.contains(path)) {
    return error(Errc::kNotFound, "remove " + path + ": no such file or directory");
  }
  if (!list(path).value().empty()) {
    return error(Errc::kInvalidArgument, "remove " + path + ": the directory is not empty");
  }
  directories_.erase(path);
  return ok();
}

Result<DiskImage::DirectorySnapshot> DiskImage::begin_sync_directory(const std::string& path) {
  if (!path.empty() && !directories_.contains(path)) {
    return error(Errc::kNotFound, "sync directory " + path + ": no such directory");
  }
  DirectorySnapshot snapshot{.number = ++last_directory_sync_};
  for (const auto& [number, entry] : entries_) {
    if (entry.name == entry.durable_name) continue;
    if (!entry.name.empty() && parent_of(entry.name) == path) {
      snapshot.placed.emplace_back(number, entry.name);
    } else if (entry.name.empty() && parent_of(entry.durable_name) == path) {
      // Renamed out of here is not in question: the move is durable with its destination.
      snapshot.gone.push_back(number);
    }
  }
  for (const auto& name : directories_) {
    if (parent_of(name) == path && !durable_directories_.contains(name)) {
      snapshot.directories.push_back(name);
    }
  }
  for (const auto& name : durable_directories_) {
    if (parent_of(name) == path && !directories_.contains(name)) {
      snapshot.directories_gone.push_back(name);
    }
  }
  return snapshot;
}

void DiskImage::end_sync_directory(const DirectorySnapshot& snapshot) {
  const auto is_newer = [&snapshot](const Entry& entry) {
    return entry.synced_by > snapshot.number;
  };
  for (const auto& [number, name] : snapshot.placed) {
    const auto placed = entries_.find(number);
    if (placed != entries_.end() && is_newer(placed->second)) continue;
    const bool is_taken = std::ranges::any_of(entries_, [&](const auto& each) {
      return each.second.durable_name == name && is_newer(each.second);
    });
    if (is_taken) continue;
    // Whoever had the name on the medium lost it to this one.
    for (auto& [other, entry] : entries_) {
      if (other != number && entry.durable_name == name) {
        entry.durable_name.clear();
        if (entry.name.empty()) {
          forget_if_nameless(other);
          break;
        }
      }
    }
    if (placed != entries_.end()) {
      placed->second.durable_name = name;
      placed->second.synced_by = snapshot.number;
    }
  }
  for (const uint64_t number : snapshot.gone) {
    const auto found = entries_.find(number);
    if (found == entries_.end() || is_newer(found->second)) continue;
    found->second.durable_name.clear();
    forget_if_nameless(number);
  }
  for (const auto& name : snapshot.directories) durable_directories_.insert(name);
  for (const auto& name : snapshot.directories_gone) durable_directories_.erase(name);
}

std::map<std::string, uint64_t> DiskImage::survivors(Rng& rng) {
  std::map<std::string, uint64_t> placed;
  std::set<uint64_t> alive;
  const auto take = [&](const std::string& name, uint64_t number) {
    placed[name] = number;
    alive.insert(number);
  };
  // First what moved or was made, so that a new name wins over the one that it replaced.
  for (const auto& [number, entry] : entries_) {
    const bool changed = entry.name != entry.durable_name && !entry.name.empty();
    if (changed && rng.chance(0.5)) take(entry.name, number);
  }
  for (const auto& [number, entry] : entries_) {
    if (alive.contains(number) || entry.durable_name.empty()) continue;
    if (placed.contains(entry.durable_name)) {
      // Its old name is taken: a file that was renamed away is then at its new one.
      const bool is_moved = !entry.name.empty() && entry.name != entry.durable_name;
      if (is_moved && !placed.contains(entry.name)) take(entry.name, number);
      continue;
    }
    // A removal may be lost. One that is only a replacement whose replacer was lost, is.
    const bool is_replaced = names_.contains(entry.durable_name);
    if (!entry.name.empty() || is_replaced || rng.chance(0.5)) take(entry.durable_name, number);
  }
  return placed;
}

void DiskImage::lose_directories(Rng& rng) {
  std::set<std::string> kept;
  for (const auto& name : durable_directories_) {
    // A removal that was not synced may be lost; the directory then stands empty.
    if (directories_.contains(name) || rng.chance(0.5)) kept.insert(name);
  }
  for (const auto& name : directories_) {  // parents come before what they hold
    const std::string parent = parent_of(name);
    const bool has_parent = parent.empty() || kept.contains(parent);
    if (!kept.contains(name) && has_parent && rng.chance(0.5)) kept.insert(name);
  }
  std::erase_if(kept, [&](const std::string& name) {
    const std::string parent = parent_of(name);
    return !parent.empty() && !kept.contains(parent);
  });
  directories_ = kept;
  durable_directories_ = std::move(kept);
}

DiskImage DiskImage::durable_copy(const std::function<bool(const std::string&)>& keeps) const {
  DiskImage copy;
  copy.directories_ = copy.durable_directories_ = directories_;
  for (const auto& [name, number] : names_) {
    if (!keeps(name)) continue;
    const Inode& from = *entries_.at(number).inode;
    const InodePointer into = copy.open(name, true, true).value();
    std::vector<std::byte> bytes(from.size_bytes());
    from.read(0, bytes);
    const std::array<ByteView, 1> parts{bytes};
    if (!bytes.empty()) into->write(0, parts, copy.next_stamp());
    into->end_sync(into->begin_sync());
    copy.entries_.at(copy.names_.at(name)).durable_name = name;
  }
  return copy;
}

void DiskImage::lose_power(Rng& rng) {
  const uint64_t draw = rng.below(6);
  const LossMode mode = draw < 2   ? LossMode::kAllOld
                        : draw < 3 ? LossMode::kAllNew
                                   : LossMode::kEachItsOwn;
  for (auto& [number, entry] : entries_) entry.inode->lose_power(rng, mode);
  lose_directories(rng);
  std::map<std::string, uint64_t> placed = survivors(rng);
  std::map<uint64_t, Entry> kept;
  names_.clear();
  for (const auto& [name, number] : placed) {
    const std::string parent = parent_of(name);
    if (!parent.empty() && !directories_.contains(parent)) continue;
    names_[name] = number;
    kept[number] = {.inode = entries_.at(number).inode, .name = name, .durable_name = name};
  }
  entries_ = std::move(kept);
}

uint64_t DiskImage::used_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [number, entry] : entries_) {
    if (!entry.name.empty()) bytes += entry.inode->used_bytes();
  }
  return bytes;
}

uint64_t DiskImage::hash() const {
  uint64_t hash = 1;
  for (const auto& [name, number] : names_) {
    for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    hash = (hash ^ entries_.at(number).inode->hash()) * 0xff51afd7ed558ccd;
  }
  return hash;
}

}  // namespace cairn::sim
