/// Services: methods that a server has for a time, such as those of a role that it may lose.
///
///   rpc::Services role(env.executor);
///   role.add(wire::Method::kListVolumes, service, &RpcService::list_volumes);
///   role.set_guard([&] { return election.confirm(term); });   // asked before each call
///   server.attach(role);
///   ...
///   server.detach(role);          // what comes now is answered by Server::set_absent's error
///   co_await role.close();        // what was under way has ended
/// Threads:  the server's reactor.
/// Lifetime: the services that were added outlive it; detached and closed before it is destroyed.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "io/sync.h"
#include "rpc/server.h"

namespace cairn::rpc {

class Services {
 public:
  /// Ok: the call goes on. An error is its answer, and nothing was done.
  using Guard = std::function<io::Task<Status>()>;

  explicit Services(io::Executor& executor) : gate_(executor) {}
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  template <class S, class Request, class Reply>
  void add(wire::Method method, S& service,
           io::Task<Result<Answer<Reply>>> (S::*member)(Call<Request>)) {
    using Adapter = GuardedHandler<S, Request, Reply>;
    const bool is_new =
        handlers_.emplace(method, std::make_unique<Adapter>(*this, service, member)).second;
    CHECK(is_new, "a method has one handler");
  }
  /// Before attach(). Whoever is asked may wait, but not for longer than a call may take.
  void set_guard(Guard guard) { guard_ = std::move(guard); }

  /// Null: not one of these.
  Handler* find(wire::Method method) const {
    const auto found = handlers_.find(method);
    return found == handlers_.end() ? nullptr : found->second.get();
  }
  /// Returns when the last call has ended.
  io::Task<void> close() { return gate_.close(); }

 private:
  template <class S, class Request, class Reply>
  class GuardedHandler final : public Handler {
   public:
    using Member = io::Task<Result<Answer<Reply>>> (S::*)(Call<Request>);
    GuardedHandler(Services& services, S& service, Member member)
        : services_(services), service_(service), member_(member) {}

    void start(io::Executor& executor, Incoming incoming, Responder responder) override {
      auto call = decode_call<Request>(std::move(incoming));
      auto running = services_.gate_.enter();
      if (!call.ok()) return responder.fail(call.error());
      if (!running.ok()) return responder.fail(running.error());
      executor.spawn(run(this, std::move(*call), std::move(responder), std::move(*running)));
    }

   private:
    static io::Task<void> run(GuardedHandler* self, Call<Request> call, Responder responder,
                              io::Gate::Holder) {
      if (self->services_.guard_) {
        const Status admitted = co_await self->services_.guard_();
        if (!admitted.ok()) {
          responder.fail(admitted.error());
          co_return;
        }
      }
      respond(co_await (self->service_.*self->member_)(std::move(call)), responder);
    }

    Services& services_;
    S& service_;
    const Member member_;
  };

  std::map<wire::Method, std::unique_ptr<Handler>> handlers_;
  Guard guard_;
  io::Gate gate_;
};

}  // namespace cairn::rpc
