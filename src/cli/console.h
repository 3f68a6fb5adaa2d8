/// What an MDS offers over HTTP beside metrics: /api/v1/VIEW as JSON, and the console on /.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/http/server.h"

namespace cairn::cli {

using ViewSource = std::function<Result<std::string>(std::string_view name)>;

/// Before the server listens. An error of the source becomes {"error": why} with the status 503, or
/// 404 where there is no such view.
void add_console(http::Server& server, const std::vector<std::string>& views, ViewSource source);

}  // namespace cairn::cli
