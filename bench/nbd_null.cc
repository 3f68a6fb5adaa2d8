/// Cairn's NBD server with an export that does nothing: what the server itself costs (ADR-0004).
/// Usage: nbd_null SOCKET_PATH
#include <signal.h>

#include <cstdio>

#include "gateway/nbd/server.h"
#include "io/real/reactor.h"

namespace cairn::nbd {
namespace {

class NullExport final : public Export {
 public:
  explicit NullExport(BufferPool& buffers) : buffers_(buffers) {
    traits_.name = "null";
    traits_.size_bytes = kGiB;
  }
  const ExportTraits& traits() const override { return traits_; }
  io::Task<Result<std::vector<client::ReadPiece>>> read(uint64_t, uint64_t size_bytes) override {
    // The same work as the plugin's: memory for the reply, filled with zeros.
    std::vector<client::ReadPiece> pieces;
    pieces.push_back({size_bytes, buffers_.allocate_zeroed(size_bytes)});
    co_return std::move(pieces);
  }
  io::Task<Status> write(uint64_t, Buffer) override { return done(); }
  io::Task<Status> zero(uint64_t, uint64_t, bool) override { return done(); }
  bool is_zero_fast(uint64_t, uint64_t) const override { return true; }
  io::Task<Status> trim(uint64_t, uint64_t) override { return done(); }
  io::Task<Status> flush() override { return done(); }
  io::Task<Result<std::vector<client::Extent>>> extents(uint64_t, uint64_t size_bytes) override {
    std::vector<client::Extent> one;
    one.push_back({size_bytes, true});
    co_return std::move(one);
  }

 private:
  static io::Task<Status> done() { co_return ok(); }
  BufferPool& buffers_;
  ExportTraits traits_;
};

class NullSource final : public ExportSource {
 public:
  explicit NullSource(BufferPool& buffers) : export_(std::make_shared<NullExport>(buffers)) {}
  io::Task<Result<std::shared_ptr<Export>>> open(std::string) override {
    co_return std::shared_ptr<Export>(export_);
  }
  io::Task<Result<std::vector<std::string>>> list() override {
    co_return std::vector<std::string>{"null"};
  }

 private:
  std::shared_ptr<NullExport> export_;
};

int serve(const std::string& path) {
  io::real::Reactor reactor;
  BufferPool buffers;
  Rng rng(1);
  Registry metrics;
  io::Env env{reactor,  reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
              Logger(), metrics};
  NullSource source(buffers);
  Server server(env, {}, source);
  auto bound = server.listen({"unix:" + path});
  if (!bound.ok()) {
    std::fprintf(stderr, "%s\n", bound.error().describe().c_str());
    return 1;
  }
  reactor.on_signal(SIGTERM, [&reactor] { reactor.stop(); });
  reactor.run();
  reactor.run_until_done(server.stop());
  return 0;
}

}  // namespace
}  // namespace cairn::nbd

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: nbd_null SOCKET_PATH\n");
    return 2;
  }
  return cairn::nbd::serve(argv[1]);
}
