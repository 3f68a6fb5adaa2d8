/// The store passes what every MetaStore passes, on an etcd in memory.
#include "store/etcd/testbed_test.h"
#include "store/kv/conformance_test.h"

namespace cairn::kv {
namespace {

class FakeEtcdBed {
 public:
  FakeEtcdBed() : bed_(1) { reopen(); }
  MetaStore& store() { return *store_; }
  io::Executor& executor() { return candidate().machine().env().executor; }
  void drive(io::Task<void> task) { bed_.world.run(candidate().machine(), std::move(task)); }
  void reopen() {
    candidate().crash();
    candidate().start();
    auto& election = bed_.wait_active().election();
    store_ = election.store_of(election.term());
  }

 private:
  etcd::testing::Candidate& candidate() { return *bed_.candidates.front(); }
  etcd::testing::TestBed bed_;
  std::unique_ptr<MetaStore> store_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(FakeEtcd, MetaStoreConformance, FakeEtcdBed);

}  // namespace
}  // namespace cairn::kv
