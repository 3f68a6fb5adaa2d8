#include "store/etcd/grpc_etcd.h"

#include <grpcpp/grpcpp.h>
#include <store/etcd/etcd.grpc.pb.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "io/sync.h"
#include "store/etcd/codec.h"

namespace cairn::etcd {

namespace pb = etcdserverpb;

namespace {

/// An answer is a page of a scan at most, of values of any size.
constexpr int kAnswerBytesMax = static_cast<int>(kRangeEntriesMax * kMiB + 16 * kMiB);

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const Tls& tls) {
  if (!tls.is_on()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.authority;
  options.pem_cert_chain = tls.certificate;
  options.pem_private_key = tls.key;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& address, const Tls& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // What writes is never sent twice; what reads is tried again by Failover.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return grpc::CreateCustomChannel(address, credentials_of(tls), arguments);
}

/// etcd tells its limits apart by words alone.
Errc code_of_exhausted(const std::string& words) {
  if (words.find("space exceeded") != std::string::npos) return Errc::kNoSpace;
  if (words.find("larger than max") != std::string::npos) return Errc::kInvalidArgument;
  return Errc::kOverloaded;
}

Errc code_of(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return Errc::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Errc::kTimeout;
    case grpc::StatusCode::CANCELLED:
      return Errc::kClosed;
    case grpc::StatusCode::INVALID_ARGUMENT:
      return Errc::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND:
      return Errc::kNotFound;
    case grpc::StatusCode::OUT_OF_RANGE:
      return Errc::kPreconditionFailed;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return code_of_exhausted(status.error_message());
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return Errc::kUnauthenticated;
    default:
      return Errc::kProtocol;
  }
}

gpr_timespec deadline_after(Duration timeout) {
  const auto span = gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), span);
}

/// Etcd counts whole seconds.
int64_t seconds_of(Duration time_to_live) {
  return std::chrono::ceil<std::chrono::seconds>(time_to_live).count();
}

using Done = std::function<void(grpc::Status)>;  ///< called once, on a thread of gRPC's

/// How many calls gRPC's threads hold.
class UnderWay {
 public:
  void enter() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void wait_for_none() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  size_t count_ = 0;
};

/// gRPC's until it has ended, then the reactor's.
struct Call {
  explicit Call(io::Executor& executor) : ended(executor) {}
  grpc::ClientContext context;
  grpc::Status status;
  io::Event ended;
  std::set<Call*>* waiters = nullptr;  ///< it is in it while somebody waits for it
};

/// Somebody waits for a call.
class Waiting {
 public:
  Waiting(std::set<Call*>& waiters, Call& call) : call_(call) {
    waiters.insert(&call);
    call.waiters = &waiters;
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    if (!call_.ended.is_set()) call_.context.TryCancel();
    if (call_.waiters != nullptr) call_.waiters->erase(&call_);
  }

 private:
  Call& call_;
};

template <typename Request, typename Reply>
struct Exchange : Call {
  using Call::Call;
  Request request;
  Reply reply;
};

}  // namespace

struct GrpcEtcd::Parts {
  Parts(io::Executor& on, io::Inbox& to, const std::string& at, const Tls& tls)
      : executor(on),
        inbox(to),
        address(at),
        channel(open_channel(at, tls)),
        kv(pb::KV::NewStub(channel)),
        lease(pb::Lease::NewStub(channel)) {}
  ~Parts() {
    for (Call* call : waiters) {
      call->waiters = nullptr;
      call->context.TryCancel();
    }
    under_way.wait_for_none();
  }

  template <typename E>
  Result<std::shared_ptr<E>> prepare(Duration timeout);
  void end(std::shared_ptr<Call> call, grpc::Status status);
  io::Task<Status> wait_for(std::shared_ptr<Call> call);
  /// `start` hands the exchange to gRPC, with what has to be called when it has ended.
  template <typename E, typename Start>
  io::Task<Status> call(std::shared_ptr<E> exchange, Start start);

  io::Executor& executor;
  io::Inbox& inbox;
  const std::string address;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<pb::KV::Stub> kv;
  const std::unique_ptr<pb::Lease::Stub> lease;
  std::set<Call*> waiters;  ///< at most kCallsMax
  UnderWay under_way;
};

template <typename E>
Result<std::shared_ptr<E>> GrpcEtcd::Parts::prepare(Duration timeout) {
  if (waiters.size() >= kCallsMax) {
    return error(Errc::kOverloaded,
                 std::to_string(kCallsMax) + " calls to etcd are under way; nothing was sent");
  }
  auto exchange = std::make_shared<E>(executor);
  exchange->context.set_deadline(deadline_after(timeout));
  return exchange;
}

/// On a thread of gRPC's, which keeps nothing of the call: the last of a channel's calls that goes
/// takes the channel along, and with it gRPC's threads, which cannot wait for themselves.
void GrpcEtcd::Parts::end(std::shared_ptr<Call> call, grpc::Status status) {
  call->status = std::move(status);
  inbox.post([call = std::move(call)] { call->ended.set(); });
  under_way.leave();  // The last that this thread does with what is here.
}

/// For a call that has been handed to gRPC.
io::Task<Status> GrpcEtcd::Parts::wait_for(std::shared_ptr<Call> call) {
  const Waiting waiting(waiters, *call);
  co_await call->ended.wait();
  if (call->waiters == nullptr) {
    co_return error(Errc::kClosed, "the connection to etcd was closed under a call");
  }
  if (call->status.ok()) co_return ok();
  co_return error(code_of(call->status),
                  "etcd at " + address + ": " + call->status.error_message());
}

template <typename E, typename Start>
io::Task<Status> GrpcEtcd::Parts::call(std::shared_ptr<E> exchange, Start start) {
  under_way.enter();
  start(*exchange, [this, held = std::shared_ptr<Call>(exchange)](grpc::Status status) mutable {
    end(std::move(held), std::move(status));
  });
  return wait_for(std::move(exchange));
}

namespace {

/// One question and one answer on a stream, which is how etcd renews leases.
class Renewal final
    : public Call,
      public grpc::ClientBidiReactor<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse> {
 public:
  using Call::Call;
  pb::LeaseKeepAliveRequest request;
  pb::LeaseKeepAliveResponse reply;
  bool has_reply = false;

  void start(pb::Lease::Stub& stub, Done done) {
    done_ = std::move(done);
    stub.async()->LeaseKeepAlive(&context, this);
    StartWriteLast(&request, grpc::WriteOptions());
    StartRead(&reply);
    StartCall();
  }
  void OnReadDone(bool is_there) override { has_reply = is_there; }
  void OnDone(const grpc::Status& done) override {
    const Done last = std::exchange(done_, nullptr);  // It owns this object until it is called.
    last(done);
  }

 private:
  Done done_;
};

}  // namespace

GrpcEtcd::GrpcEtcd(io::Executor& executor, io::Inbox& inbox, const std::string& address,
                   const Tls& tls)
    : parts_(std::make_unique<Parts>(executor, inbox, address, tls)) {}

GrpcEtcd::~GrpcEtcd() = default;

io::Task<Result<Outcome>> GrpcEtcd::run(Transaction transaction, Duration timeout) {
  using Txn = Exchange<pb::TxnRequest, pb::TxnResponse>;
  const auto exchange = CO_TRY(parts_->prepare<Txn>(timeout));
  exchange->request = encode(transaction);
  CO_TRY(co_await parts_->call(exchange, [this](Txn& txn, Done done) {
    parts_->kv->async()->Txn(&txn.context, &txn.request, &txn.reply, std::move(done));
  }));
  co_return decode(transaction, std::move(exchange->reply));
}

io::Task<Result<Lease>> GrpcEtcd::grant(Duration time_to_live, Duration timeout) {
  using Grant = Exchange<pb::LeaseGrantRequest, pb::LeaseGrantResponse>;
  const auto exchange = CO_TRY(parts_->prepare<Grant>(timeout));
  exchange->request.set_ttl(seconds_of(time_to_live));
  CO_TRY(co_await parts_->call(exchange, [this](Grant& grant, Done done) {
    parts_->lease->async()->LeaseGrant(&grant.context, &grant.request, &grant.reply,
                                       std::move(done));
  }));
  const pb::LeaseGrantResponse& reply = exchange->reply;
  if (reply.id() <= 0 || reply.ttl() <= 0) {
    co_return error(Errc::kProtocol, "etcd granted a lease without a name or a time");
  }
  co_return Lease{LeaseId(static_cast<uint64_t>(reply.id())), std::chrono::seconds(reply.ttl())};
}

io::Task<Result<Lease>> GrpcEtcd::keep_alive(LeaseId lease, Duration timeout) {
  const auto renewal = CO_TRY(parts_->prepare<Renewal>(timeout));
  renewal->request.set_id(static_cast<int64_t>(lease.value()));
  CO_TRY(co_await parts_->call(
      renewal, [this](Renewal& one, Done done) { one.start(*parts_->lease, std::move(done)); }));
  if (!renewal->has_reply) {
    co_return error(Errc::kUnavailable, "etcd ended a renewal without an answer");
  }
  if (renewal->reply.ttl() <= 0) co_return error(Errc::kNotFound, "etcd has ended the lease");
  co_return Lease{lease, std::chrono::seconds(renewal->reply.ttl())};
}

io::Task<Status> GrpcEtcd::revoke(LeaseId lease, Duration timeout) {
  using Revoke = Exchange<pb::LeaseRevokeRequest, pb::LeaseRevokeResponse>;
  const auto exchange = CO_TRY(parts_->prepare<Revoke>(timeout));
  exchange->request.set_id(static_cast<int64_t>(lease.value()));
  co_return co_await parts_->call(exchange, [this](Revoke& revoke, Done done) {
    parts_->lease->async()->LeaseRevoke(&revoke.context, &revoke.request, &revoke.reply,
                                        std::move(done));
  });
}

namespace {

/// HOST:PORT of an endpoint whose scheme is the one that `tls` asks for.
Result<std::string> address_of(const std::string& endpoint, const Tls& tls) {
  std::string_view address = endpoint;
  const bool is_plain = address.starts_with("http://");
  const bool is_encrypted = address.starts_with("https://");
  if (is_encrypted && !tls.is_on()) {
    return error(Errc::kInvalidArgument,
                 endpoint + ": TLS needs the certificate of who signed etcd's: --etcd-ca FILE");
  }
  if (is_plain && tls.is_on()) {
    return error(Errc::kInvalidArgument,
                 endpoint + " is not encrypted, which --etcd-ca asks for: say https://");
  }
  if (is_plain) address.remove_prefix(7);
  if (is_encrypted) address.remove_prefix(8);
  const size_t colon = address.rfind(':');
  const bool is_sound = colon != std::string_view::npos && colon > 0 &&
                        colon + 1 < address.size() && address.find('/') == std::string_view::npos;
  if (!is_sound) {
    return error(Errc::kInvalidArgument,
                 "\"" + endpoint + "\" is not HOST:PORT of an etcd, such as 10.0.0.1:2379");
  }
  return std::string(address);
}

}  // namespace

Result<std::vector<Endpoint>> connect(io::Executor& executor, io::Inbox& inbox,
                                      const std::vector<std::string>& endpoints, const Tls& tls) {
  if (endpoints.empty()) return error(Errc::kInvalidArgument, "no endpoint of etcd is named");
  if (tls.certificate.empty() != tls.key.empty()) {
    return error(Errc::kInvalidArgument,
                 "a client's certificate and its key belong together: --etcd-cert and --etcd-key");
  }
  std::vector<Endpoint> connected;
  for (const std::string& endpoint : endpoints) {
    const std::string name = TRY(address_of(endpoint, tls));
    connected.push_back({name, std::make_unique<GrpcEtcd>(executor, inbox, name, tls)});
  }
  return connected;
}

}  // namespace cairn::etcd
