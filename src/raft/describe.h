/// Text for a person: one line for a message or an entry, a block for a Ready.
///
/// Scenario files compare this text, so its form is fixed.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "raft/raw_node.h"

namespace cairn::raft {

std::string_view to_string(MessageType type);  ///< "MsgApp"
std::optional<MessageType> message_type_of(std::string_view name);
std::string_view to_string(EntryType type);  ///< "EntryNormal"

std::string describe(const HardState& state);  ///< "Term:1 Vote:2 Commit:3"
std::string describe(const SoftState& state);  ///< "Lead:1 State:StateLeader"
std::string describe(const ConfState& state);
std::string describe(const Snapshot& snapshot);
std::string describe(const Entry& entry);              ///< 1/12 EntryNormal "data"
std::string describe(std::span<const Entry> entries);  ///< a line each
std::string describe(const Message& message);  ///< 1->2 MsgApp Term:1 Log:1/11 Commit:11 ...
std::string describe(const Ready& ready);

}  // namespace cairn::raft
