#include "store/etcd/election.h"

namespace cairn::etcd {

namespace {

constexpr Duration kLimitsTimeout = 10s;
constexpr Duration kStartPause = 500ms;
/// After a resignation others try first.
constexpr int kLooksLeftToOthers = 5;

/// By how much the lease is taken to be shorter, for clocks that run at different speeds.
Duration margin_of(Duration time_to_live) {
  return time_to_live / 10;
}

bool may_pass(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kOverloaded;
}

Status check(const ElectionOptions& options) {
  TRY(check_prefix(options.prefix));
  if (options.lease < 2s || options.renew_interval > options.lease / 3) {
    return error(Errc::kInvalidArgument,
                 "a lease of at least 2 s is renewed at least three times before it ends");
  }
  const bool is_named = !options.self.name.empty() && !options.self.address.empty() &&
                        options.self.name.find_first_of(" /") == std::string::npos;
  if (!is_named) {
    return error(Errc::kInvalidArgument,
                 "an MDS on etcd has an address, and a name without spaces and slashes");
  }
  return ok();
}

}  // namespace

EtcdElection::EtcdElection(io::Env env, Etcd& etcd, ElectionOptions options)
    : env_(env),
      etcd_(etcd),
      options_(std::move(options)),
      layout_(options_.prefix),
      lease_end_(env.clock, [this] { give_lease_up("its lease was not renewed in time"); }),
      changed_(env.executor),
      woken_(env.executor),
      gate_(env.executor) {}

EtcdElection::~EtcdElection() = default;

io::Task<Status> EtcdElection::start() {
  CO_TRY(check(options_));
  const Instant until = env_.clock.now() + options_.start_wait;
  for (;;) {
    Status usable = co_await check_limits(etcd_, layout_, kLimitsTimeout);
    if (usable.ok()) usable = co_await check_loaded();
    if (usable.ok()) break;
    if (!may_pass(usable.code()) || env_.clock.now() >= until) co_return usable;
    note(usable);
    co_await env_.clock.sleep(kStartPause);
  }
  env_.executor.spawn(run_lease());
  env_.executor.spawn(run_looks());
  env_.logger.info("takes part in the election", {{"member", options_.self.name}});
  co_return ok();
}

io::Task<void> EtcdElection::stop() {
  is_stopping_ = true;
  set_term(Revision());
  woken_.notify_all();
  co_await gate_.close();
  give_lease_up("it stops");
  // If it fails the lease ends by itself.
  if (!given_up_.is_none()) (void)co_await etcd_.revoke(given_up_, options_.call_timeout);
}

Status EtcdElection::health() const {
  if (is_stopping_) return error(Errc::kUnavailable, "this MDS is stopping");
  if (failure_) return failure_->within("etcd");
  return ok();
}

io::Task<Status> EtcdElection::check_loaded() {
  Transaction look;
  look.then.reads.push_back({.first = layout_.loading()});
  const auto outcome = CO_TRY(co_await etcd_.run(std::move(look), options_.call_timeout));
  if (outcome.reads.front().entries.empty()) co_return ok();
  co_return error(Errc::kPreconditionFailed,
                  "a load of a dump has begun and not ended; run cairn meta load again, then start "
                  "the MDS");
}

/// Sleeps, or until something has changed that the loops look at.
io::Task<void> EtcdElection::pause(Duration duration) {
  io::Timer timer(env_.clock, [this] { woken_.notify_all(); });
  timer.arm_after(duration);
  if (!is_stopping_) co_await woken_.wait_next();
}

io::Task<void> EtcdElection::run_lease() {
  const auto running = gate_.enter();
  while (running.ok() && !is_stopping_) {
    const bool has_lease = !lease_.is_none();
    note(has_lease ? co_await renew_lease() : co_await obtain_lease());
    co_await pause(options_.renew_interval);
  }
}

io::Task<Status> EtcdElection::obtain_lease() {
  if (!given_up_.is_none()) {
    // What is bound to it would keep everybody from being elected until it ends.
    const Status revoked = co_await etcd_.revoke(given_up_, options_.call_timeout);
    if (!revoked.ok() && revoked.code() != Errc::kNotFound) co_return revoked;
    given_up_ = LeaseId();
  }
  const Instant sent_at = env_.clock.now();
  const Lease lease = CO_TRY(co_await etcd_.grant(options_.lease, options_.call_timeout));
  lease_ = lease.id;
  extend_lease(sent_at, lease.time_to_live);
  Transaction enlist;
  enlist.then.puts.push_back(
      {layout_.member(options_.self.name), encode_member(options_.self), lease_});
  const auto enlisted = co_await etcd_.run(std::move(enlist), options_.call_timeout);
  if (!enlisted.ok()) {
    give_lease_up("it could not be listed");
    co_return enlisted.error();
  }
  woken_.notify_all();
  co_return ok();
}

io::Task<Status> EtcdElection::renew_lease() {
  const LeaseId lease = lease_;
  const Instant sent_at = env_.clock.now();
  const auto renewed = co_await etcd_.keep_alive(lease, options_.call_timeout);
  if (lease != lease_) co_return ok();  // given up meanwhile
  if (renewed.ok()) {
    extend_lease(sent_at, renewed->time_to_live);
  } else if (renewed.code() == Errc::kNotFound) {
    give_lease_up("its lease has ended");
  } else {
    co_return renewed.error();
  }
  co_return ok();
}

void EtcdElection::extend_lease(Instant sent_at, Duration time_to_live) {
  lease_until_ = sent_at + time_to_live - margin_of(time_to_live);
  lease_end_.arm(lease_until_);
}

void EtcdElection::give_lease_up(std::string_view why) {
  if (lease_.is_none()) return;
  if (!term_.is_zero()) env_.logger.warn("this MDS gives up being the active one", {{"why", why}});
  CHECK(given_up_.is_none(), "a lease is taken after the one before it has been revoked");
  lease_end_.disarm();
  given_up_ = std::exchange(lease_, LeaseId());
  set_term(Revision());
  woken_.notify_all();
}

void EtcdElection::set_term(Revision term) {
  if (std::exchange(term_, term) != term) changed_.notify_all();
}

io::Task<void> EtcdElection::run_looks() {
  const auto running = gate_.enter();
  while (running.ok() && !is_stopping_) {
    note(co_await look());
    co_await pause(options_.look_interval);
  }
}

io::Task<Status> EtcdElection::look() {
  Transaction transaction;
  transaction.then.reads.push_back({.first = layout_.active()});
  transaction.then.reads.push_back(layout_.members());
  const auto outcome = CO_TRY(co_await etcd_.run(std::move(transaction), options_.call_timeout));
  take_note_of(outcome);
  const bool is_vacant = outcome.reads.front().entries.empty();
  const bool may_try =
      holds_lease() && term_.is_zero() && !is_stopping_ && env_.clock.now() >= no_campaign_before_;
  if (is_vacant && may_try) co_return co_await campaign();
  co_return ok();
}

void EtcdElection::take_note_of(const Outcome& outcome) {
  CHECK(outcome.reads.size() == 2, "a look reads who is active and who is there");
  members_.clear();
  for (const Entry& entry : outcome.reads.back().entries) {
    if (auto member = decode_member(entry.value); member) members_.push_back(std::move(*member));
  }
  const auto& entries = outcome.reads.front().entries;
  if (entries.empty()) {
    active_.reset();
    // This look may have left before the campaign that was won meanwhile.
    if (!term_.is_zero() && outcome.revision > term_) give_lease_up("its key in etcd is gone");
    return;
  }
  const Entry& entry = entries.front();
  auto active = decode_member(entry.value);
  active_ = active ? std::optional(*active) : std::nullopt;
  if (!term_.is_zero()) {
    if (entry.created > term_) give_lease_up("another MDS is the active one");
    return;
  }
  // Its own, by a campaign whose answer was lost.
  if (entry.lease == lease_ && holds_lease() && !is_stopping_) set_term(entry.created);
}

io::Task<Status> EtcdElection::campaign() {
  Transaction transaction;
  transaction.compares = {Compare::absent(layout_.active()), Compare::absent(layout_.loading())};
  const LeaseId lease = lease_;
  transaction.then.puts.push_back({layout_.active(), encode_member(options_.self), lease});
  const auto outcome = CO_TRY(co_await etcd_.run(std::move(transaction), options_.call_timeout));
  if (!outcome.has_held || lease != lease_ || is_stopping_) co_return ok();
  if (!holds_lease()) {
    give_lease_up("its lease was not renewed in time");
    co_return ok();
  }
  active_ = options_.self;
  set_term(outcome.revision);
  co_return ok();
}

io::Task<void> EtcdElection::resign() {
  if (term_.is_zero()) co_return;
  Transaction transaction;
  transaction.compares.push_back(Compare::created_at(layout_.active(), term_));
  transaction.then.deletes.push_back({.first = layout_.active()});
  no_campaign_before_ = env_.clock.now() + kLooksLeftToOthers * options_.look_interval;
  active_.reset();
  // Before the call: from its arrival on somebody else may be active. The lease goes with it, so
  // that no look takes the term up again whose key may still be there.
  give_lease_up("it hands over");
  const auto outcome = co_await etcd_.run(std::move(transaction), options_.call_timeout);
  if (!outcome.ok()) {
    env_.logger.warn("no other MDS can take over before the lease of this one has ended",
                     {{"why", outcome.error().message()}});
  }
}

io::Task<Status> EtcdElection::confirm(uint64_t term) {
  if (term == 0 || term != term_.value()) co_return not_leader();
  if (!holds_lease()) {
    // A process that was stopped: its timers have not fired yet.
    give_lease_up("its lease was not renewed in time");
    co_return not_leader();
  }
  co_return ok();
}

std::unique_ptr<kv::MetaStore> EtcdElection::store_of(uint64_t term) {
  return std::make_unique<Store>(etcd_, layout_, Revision(term), options_.store);
}

std::string EtcdElection::active_address() const {
  return active_ ? active_->address : std::string();
}

std::vector<kv::Election::Member> EtcdElection::members() const {
  std::vector<Member> members;
  for (const MemberName& one : members_) {
    // Whose lease has ended is not listed.
    members.push_back({.name = one.name,
                       .address = one.address,
                       .is_active = active_ && one.name == active_->name,
                       .reach = Reach::kReachable});
  }
  return members;
}

/// Tells people once, not each time.
void EtcdElection::note(const Status& outcome) {
  if (outcome.ok()) {
    if (failure_) env_.logger.info("etcd answers again");
    failure_.reset();
    return;
  }
  if (!failure_ || failure_->code() != outcome.code()) {
    env_.logger.warn("etcd does not do what it is asked for",
                     {{"why", outcome.error().describe()}});
  }
  failure_ = outcome.error();
}

Error EtcdElection::not_leader() const {
  const std::string active = active_address();
  return error(Errc::kNotLeader, active.empty()
                                     ? "this MDS is not the active one, and none is known"
                                     : "this MDS is not the active one; that is at " + active);
}

}  // namespace cairn::etcd
