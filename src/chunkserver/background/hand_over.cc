#include "chunkserver/background/hand_over.h"

#include <memory>
#include <vector>

namespace cairn::chunkserver {

namespace {

/// Shared with the transfers that the caller does not wait for any more.
struct Offers {
  Offers(io::Env e, multiraft::Host& h) : env(e), host(h), progress(e.executor) {}

  io::Env env;
  multiraft::Host& host;
  std::vector<GroupId> waiting;
  size_t workers_count = 0;
  size_t handed_over_count = 0;
  Instant until;
  io::Event progress;
};

io::Task<void> offer_some(std::shared_ptr<Offers> offers) {
  while (!offers->waiting.empty() && offers->env.clock.now() < offers->until) {
    const GroupId group = offers->waiting.back();
    offers->waiting.pop_back();
    multiraft::Node* node = offers->host.find(group);
    if (!node || !node->is_leader()) continue;
    auto pin = node->pin();
    if (!pin) continue;
    if (co_await node->transfer_leadership()) ++offers->handed_over_count;
  }
  --offers->workers_count;
  offers->progress.notify_all();
}

}  // namespace

io::Task<size_t> hand_over_leaderships(io::Env env, multiraft::Host* host,
                                       HandOverOptions options) {
  auto offers = std::make_shared<Offers>(env, *host);
  offers->until = env.clock.now() + options.limit;
  for (const auto& [group, node] : host->nodes()) {
    if (node->is_leader()) offers->waiting.push_back(group);
  }
  const size_t workers_count = std::min(options.transfers_at_once_max, offers->waiting.size());
  offers->workers_count = workers_count;
  for (size_t i = 0; i < workers_count; ++i) env.executor.spawn(offer_some(offers));
  Offers* shared = offers.get();
  io::Timer deadline(env.clock, [shared] { shared->progress.notify_all(); });
  deadline.arm(offers->until);
  while (offers->workers_count > 0 && env.clock.now() < offers->until) {
    co_await offers->progress.wait_next();
  }
  co_return offers->handed_over_count;
}

}  // namespace cairn::chunkserver
