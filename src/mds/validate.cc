#include "mds/validate.h"

#include <algorithm>

#include "base/units.h"

namespace cairn::mds {

namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Status check_name(std::string_view what, std::string_view name, size_t bytes_max) {
  if (name.empty()) return error(Errc::kInvalidArgument, std::string(what) + " is empty; give one");
  if (name.size() > bytes_max) {
    return error(Errc::kInvalidArgument, std::string(what) + " has " + std::to_string(name.size()) +
                                             " characters; at most " + std::to_string(bytes_max) +
                                             " are allowed");
  }
  for (char c : name) {
    if (is_letter_or_digit(c) || c == '.' || c == '_' || c == '-') continue;
    return error(Errc::kInvalidArgument,
                 std::string(what) + " may hold letters, digits, '.', '_' and '-' only");
  }
  if (!is_letter_or_digit(name.front())) {
    return error(Errc::kInvalidArgument, std::string(what) + " '" + std::string(name) +
                                             "' has to begin with a letter or a digit");
  }
  return ok();
}

}  // namespace

Status check_volume_name(std::string_view name) {
  for (std::string_view left = name;;) {
    const size_t slash = left.find('/');
    if (slash == std::string_view::npos) {
      TRY(check_name("the volume's name", left, kVolumeNameBytesMax));
      break;
    }
    TRY(check_name("a folder in the volume's name", left.substr(0, slash), kVolumeNameBytesMax));
    left.remove_prefix(slash + 1);
  }
  if (name.size() <= kVolumeNameBytesMax) return ok();
  return error(Errc::kInvalidArgument, "the volume's name has " + std::to_string(name.size()) +
                                           " characters with its folders; at most " +
                                           std::to_string(kVolumeNameBytesMax) + " are allowed");
}

Status check_label(std::string_view what, std::string_view label) {
  return check_name(what, label, kLabelBytesMax);
}

Status check_address(std::string_view address) {
  if (address.empty() || address.size() > kAddressBytesMax) {
    return error(Errc::kInvalidArgument, "an address has 1 to " + std::to_string(kAddressBytesMax) +
                                             " characters, as in 10.0.0.1:6800");
  }
  for (char c : address) {
    if (c <= ' ' || c > '~') {
      return error(Errc::kInvalidArgument, "an address holds printable characters without spaces");
    }
  }
  return ok();
}

Status check_tags(const ClusterState& state,
                  const google::protobuf::RepeatedPtrField<std::string>& tags) {
  for (const auto& tag : tags) TRY(check_label("a tag", tag));
  const std::set<std::string> unique(tags.begin(), tags.end());
  if (unique.size() != static_cast<size_t>(tags.size())) {
    return error(Errc::kInvalidArgument, "a tag is given twice");
  }
  if (!state.has_room_for(tags)) {
    return error(Errc::kNoSpace, "a cluster has at most " + std::to_string(kTagsMax) +
                                     " different tags, those of its last start included");
  }
  return ok();
}

namespace {

Status check_shown(std::string_view what, std::string_view text, size_t bytes_max) {
  const bool is_printable = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  if (text.size() <= bytes_max && is_printable) return ok();
  return error(Errc::kInvalidArgument, std::string(what) + " has at most " +
                                           std::to_string(bytes_max) + " printable characters");
}

}  // namespace

Status check_client_name(std::string_view name) {
  return check_shown("a client's name", name, kClientNameBytesMax);
}

Status check_owner(std::string_view owner) {
  return check_shown("a volume's owner", owner, kLabelBytesMax);
}

Status check_volume_size(uint64_t size_bytes, uint64_t size_bytes_max) {
  if (size_bytes == 0 || !is_block_aligned(size_bytes)) {
    return error(Errc::kInvalidArgument,
                 "a volume's size is a multiple of 4096 bytes above zero, not " +
                     std::to_string(size_bytes) + "; the next that fits is " +
                     std::to_string(std::max(kBlockBytes, size_bytes / kBlockBytes * kBlockBytes)));
  }
  if (size_bytes > size_bytes_max) {
    return error(Errc::kInvalidArgument, "a volume has at most " + std::to_string(size_bytes_max) +
                                             " bytes, not " + std::to_string(size_bytes));
  }
  return ok();
}

}  // namespace cairn::mds
