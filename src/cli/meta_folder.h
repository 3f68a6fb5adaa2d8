/// Where an MDS's folder has its database.
#pragma once

#include <string>

namespace cairn::cli {

/// `data` itself, or `data`/store if it is the folder of one of several MDS.
std::string meta_folder(const std::string& data);

}  // namespace cairn::cli
