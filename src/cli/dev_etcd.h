/// Etcd as one of the processes of a development cluster: Debian's, with what an MDS needs of it.
#pragma once

#include <string>
#include <vector>

#include "cli/dev_state.h"

namespace cairn::cli {

/// Where the program is. kNotFound, with what to install.
Result<std::string> find_etcd();
/// Of `self`, one of `members`, which have their addresses and folders.
std::vector<std::string> etcd_command(const std::string& program,
                                      const std::vector<DevProcess>& members,
                                      const DevProcess& self);

}  // namespace cairn::cli
