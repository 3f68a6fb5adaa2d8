/// The console: one page (console.html) that shows a cluster, made of what /api/v1/... answers on
/// the same server. It loads nothing from elsewhere.
#pragma once

#include <string_view>

namespace cairn::http {

std::string_view console_page();

}  // namespace cairn::http
