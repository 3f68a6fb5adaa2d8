/// Codec: transactions and their outcomes as etcd's messages.
///
/// Pure.
/// Errors: kProtocol: an answer that does not fit the transaction.
/// Source: etcd.proto.
#pragma once

#include <store/etcd/etcd.pb.h>

#include "store/etcd/etcd.h"

namespace cairn::etcd {

etcdserverpb::TxnRequest encode(const Transaction& transaction);
Result<Outcome> decode(const Transaction& transaction, etcdserverpb::TxnResponse reply);

}  // namespace cairn::etcd
