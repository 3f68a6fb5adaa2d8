/// MdsCaller: a call to whichever MDS serves, retried until the deadline.
/// Threads: the reactor's. Included by .cc files alone: it brings in the RPC client.
#pragma once

#include <utility>
#include <vector>

#include "client/options.h"
#include "client/retry.h"
#include "rpc/client.h"
#include "wire/methods.h"

namespace cairn::client {

class MdsCaller {
 public:
  MdsCaller(io::Env env, rpc::Client& rpc, const ClientOptions& options)
      : env_(env), rpc_(rpc), options_(options) {
    CHECK(!options.mds.empty(), "a client needs the address of at least one MDS");
  }

  /// Errors: what the MDS answered where no retry can help; kTimeout with the number of tries and
  ///         the last one's reason. `is_repeated` is set when an earlier try may have been carried
  ///         out: then "there already" and "not there" may be this call's own doing.
  template <class Reply, class Request>
  io::Task<Result<Reply>> call(wire::Method method, Request request, Instant deadline,
                               bool* is_repeated = nullptr);

  /// Enough for every address to answer once.
  Duration round_timeout() const {
    return options_.try_timeout_min * static_cast<int64_t>(options_.mds.size());
  }
  /// Calls that wait give up at their next step.
  void stop() { is_stopping_ = true; }

 private:
  Error gave_up(uint32_t tries_count, const Error& last) const;

  io::Env env_;
  rpc::Client& rpc_;
  const ClientOptions& options_;
  size_t current_ = 0;  ///< index into options_.mds of the one that answered last
  bool is_stopping_ = false;
};

template <class Reply, class Request>
io::Task<Result<Reply>> MdsCaller::call(wire::Method method, Request request, Instant deadline,
                                        bool* is_repeated) {
  Pace pace({options_.try_timeout_min, options_.try_timeout_max, options_.backoff_min,
             options_.backoff_max});
  Error last = error(Errc::kTimeout, "no time was left for a try");
  uint32_t tries_count = 0;
  size_t failed_in_row = 0;
  for (Instant now = env_.clock.now(); now < deadline; now = env_.clock.now()) {
    if (is_stopping_) co_return error(Errc::kClosed, "the client is stopping");
    const size_t asked = current_;
    auto answer = co_await rpc_.call<Reply>(options_.mds[asked], method, request, {},
                                            std::min(pace.timeout(), deadline - now));
    ++tries_count;
    if (answer.ok()) co_return std::move(answer->message);
    last = answer.error();
    const Verdict verdict = judge(last.code());
    // The MDS answers kNotFound for a volume or a segment: here that is final, not a stale view.
    if (verdict == Verdict::kGiveUp || verdict == Verdict::kRefresh) co_return last;
    if (is_repeated && outcome_unknown(last.code())) *is_repeated = true;
    if (last.code() == Errc::kTimeout) pace.on_timeout();
    // A concurrent call may have moved on already.
    if (verdict == Verdict::kTryNext && current_ == asked) {
      current_ = (current_ + 1) % options_.mds.size();
    }
    if (++failed_in_row % options_.mds.size() == 0) {
      const Duration pause = pace.next_backoff(env_.rng);
      co_await env_.clock.sleep(
          std::min(pause, std::max(deadline - env_.clock.now(), Duration(0))));
    }
  }
  co_return gave_up(tries_count, last);
}

inline Error MdsCaller::gave_up(uint32_t tries_count, const Error& last) const {
  std::string addresses;
  for (const io::Address& address : options_.mds) {
    addresses += (addresses.empty() ? "" : ", ") + address.text;
  }
  return error(Errc::kTimeout, "no MDS of " + addresses + " answered (" +
                                   std::to_string(tries_count) +
                                   " tries; the last: " + last.describe() + ")");
}

}  // namespace cairn::client
