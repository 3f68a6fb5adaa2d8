#include "mds/member.h"

namespace cairn::mds {

Member::Member(io::Env env, kv::Election& election, rpc::Server& server, Options options)
    : env_(std::move(env)),
      election_(election),
      server_(server),
      options_(std::move(options)),
      gate_(env_.executor) {
  server_.set_absent([this](wire::Method) { return absent(); });
}

Member::~Member() = default;

Error Member::absent() const {
  const std::string active = election_.active_address();
  const std::string where = active.empty() ? "and none is known" : "that is at " + active;
  return error(Errc::kNotLeader, "this MDS is not the active one; " + where);
}

Status Member::start() {
  TRY(check(options_));
  env_.executor.spawn(run());
  return ok();
}

io::Task<void> Member::run() {
  const auto running = gate_.enter();
  while (running.ok() && !is_stopping_) {
    const uint64_t term = election_.term();
    if (term != 0) {
      co_await serve(term);
    } else {
      co_await election_.changed().wait_next();
    }
  }
}

io::Task<void> Member::serve(uint64_t term) {
  store_ = election_.store_of(term);
  mds_ = std::make_unique<Mds>(env_, *store_, options_,
                               Office{.election = election_, .term = term, .server = server_});
  const Status started = co_await mds_->start();
  failure_.reset();
  if (started.ok()) {
    env_.logger.info("this MDS is the active one", {{"term", term}});
    while (!is_stopping_ && election_.term() == term) co_await election_.changed().wait_next();
    env_.logger.info("this MDS is no longer the active one", {{"term", term}});
  }
  co_await mds_->stop();
  mds_.reset();
  store_.reset();
  if (started.ok() || is_stopping_ || election_.term() != term) co_return;
  // Another one may be able to. If not, the same again, after a pause.
  failure_ = started.error();
  env_.logger.error("this MDS was elected and cannot serve", {{"why", failure_->describe()}});
  co_await election_.resign();
  co_await env_.clock.sleep(options_.retry_delay_min);
}

io::Task<void> Member::stop() {
  co_await election_.resign();
  is_stopping_ = true;
  election_.changed().notify_all();
  co_await gate_.close();
  server_.set_absent([](wire::Method) { return error(Errc::kClosed, "this MDS is stopping"); });
}

Result<std::string> Member::view(std::string_view name) const {
  if (mds_) return mds_->view(name);
  return absent();
}

Status Member::health() const {
  if (failure_) return *failure_;
  return ok();
}

}  // namespace cairn::mds
