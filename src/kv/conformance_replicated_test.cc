/// The replicated store passes what every MetaStore passes.
#include "kv/testbed_test.h"
#include "store/kv/conformance_test.h"

namespace cairn::kv {
namespace {

template <size_t kMembers>
class ReplicatedBed {
 public:
  ReplicatedBed() : bed_({.members_count = kMembers}) {}
  MetaStore& store() { return bed_.wait_leader().store(); }
  io::Executor& executor() { return bed_.wait_leader().machine().env().executor; }
  void drive(io::Task<void> task) { bed_.world.run(bed_.wait_leader().machine(), std::move(task)); }
  /// Every machine loses its power.
  void reopen() {
    for (auto& member : bed_.members) member->crash(sim::CrashKind::kPowerLoss);
    for (auto& member : bed_.members) member->start();
    bed_.wait_leader();
  }

 private:
  testing::TestBed bed_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(OneMember, MetaStoreConformance, ReplicatedBed<1>);
INSTANTIATE_TYPED_TEST_SUITE_P(ThreeMembers, MetaStoreConformance, ReplicatedBed<3>);

/// The store of one term passes it as well.
class TermBed : public ReplicatedBed<3> {
 public:
  TermBed() { renew(); }
  MetaStore& store() { return *store_; }
  void reopen() {
    ReplicatedBed<3>::reopen();
    renew();
  }

 private:
  void renew() {
    auto& replicated = dynamic_cast<ReplicatedStore&>(ReplicatedBed<3>::store());
    store_ = replicated.store_of(replicated.term());
  }
  std::unique_ptr<MetaStore> store_;
};
INSTANTIATE_TYPED_TEST_SUITE_P(OfOneTerm, MetaStoreConformance, TermBed);

}  // namespace
}  // namespace cairn::kv
