/// What the requests that change a copyset's members or leader have in common.
#pragma once

#include "chunkserver/service.h"

namespace cairn::chunkserver {

template <class Request>
ChangeOrder order_of(const Request& request, wire::ChangeKind kind) {
  ChangeOrder order;
  order.change.set_copyset(request.copyset());
  order.change.set_epoch(request.epoch());
  order.change.set_operator_id(request.operator_id());
  order.change.set_kind(kind);
  return order;
}

}  // namespace cairn::chunkserver
