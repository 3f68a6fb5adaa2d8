#include "store/etcd/codec.h"

#include <utility>

namespace cairn::etcd {

namespace pb = etcdserverpb;

namespace {

void encode_compare(const Compare& compare, pb::Compare* into) {
  into->set_key(compare.key);
  into->set_result(pb::Compare::EQUAL);
  switch (compare.what) {
    case Compare::What::kCreated:
      into->set_target(pb::Compare::CREATE);
      into->set_create_revision(static_cast<int64_t>(compare.created.value()));
      break;
    case Compare::What::kValue:
      into->set_target(pb::Compare::VALUE);
      into->set_value(compare.value);
      break;
  }
}

template <typename Into>
void encode_keys(const Range& range, Into* into) {
  into->set_key(range.first);
  into->set_range_end(range.end);
}

/// Reads first: a branch's reads are the first of its answers.
template <typename Requests>
void encode_operations(const Operations& operations, Requests* into) {
  for (const Range& range : operations.reads) {
    auto* read = into->Add()->mutable_request_range();
    encode_keys(range, read);
    read->set_limit(static_cast<int64_t>(range.entries_max));
    read->set_revision(static_cast<int64_t>(range.at.value()));
  }
  for (const Put& put : operations.puts) {
    auto* write = into->Add()->mutable_request_put();
    write->set_key(put.key);
    write->set_value(put.value);
    write->set_lease(static_cast<int64_t>(put.lease.value()));
  }
  for (const Range& range : operations.deletes) {
    encode_keys(range, into->Add()->mutable_request_delete_range());
  }
}

size_t count(const Operations& operations) {
  return operations.reads.size() + operations.puts.size() + operations.deletes.size();
}

RangeResult decode_range(pb::RangeResponse* reply) {
  RangeResult result{.entries = {}, .has_more = reply->more()};
  result.entries.reserve(static_cast<size_t>(reply->kvs_size()));
  for (pb::KeyValue& pair : *reply->mutable_kvs()) {
    result.entries.push_back({std::move(*pair.mutable_key()), std::move(*pair.mutable_value()),
                              Revision(static_cast<uint64_t>(pair.create_revision())),
                              LeaseId(static_cast<uint64_t>(pair.lease()))});
  }
  return result;
}

}  // namespace

pb::TxnRequest encode(const Transaction& transaction) {
  pb::TxnRequest request;
  for (const Compare& compare : transaction.compares) {
    encode_compare(compare, request.add_compare());
  }
  encode_operations(transaction.then, request.mutable_success());
  encode_operations(transaction.otherwise, request.mutable_failure());
  return request;
}

Result<Outcome> decode(const Transaction& transaction, pb::TxnResponse reply) {
  Outcome outcome{.has_held = reply.succeeded(),
                  .revision = Revision(static_cast<uint64_t>(reply.header().revision())),
                  .reads = {}};
  const Operations& branch = outcome.has_held ? transaction.then : transaction.otherwise;
  bool fits =
      reply.header().revision() > 0 && std::cmp_equal(reply.responses_size(), count(branch));
  for (size_t i = 0; fits && i < branch.reads.size(); ++i) {
    pb::ResponseOp* one = reply.mutable_responses(static_cast<int>(i));
    fits = one->has_response_range();
    if (fits) outcome.reads.push_back(decode_range(one->mutable_response_range()));
  }
  if (!fits) {
    return error(Errc::kProtocol, "etcd's answer does not fit the transaction; is it etcd v3?");
  }
  return outcome;
}

}  // namespace cairn::etcd
