/// Views: what the MDS knows, as JSON for people and their tools. The reply messages are the
/// schema.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mds/context.h"

namespace cairn::mds {

/// Errors: kNotFound, naming the views that there are; the operation's.
Result<std::string> show(Context& mds, std::string_view name);

const std::vector<std::string>& view_names();

}  // namespace cairn::mds
