/// The server, in a process of its own, against the tools that people use: nbdinfo, nbdcopy,
/// qemu-io. A tool that is not installed fails the test: tools/setup.sh brings them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "gateway/nbd/memory_export.h"
#include "gateway/nbd/server.h"
#include "io/real/reactor.h"

namespace cairn::nbd {
namespace {

/// Serves until SIGTERM, then stops in order; the exit code tells whether all went well.
int serve(const std::string& socket) {  // and on TCP, at the address written to SOCKET.tcp
  io::real::Reactor reactor;
  BufferPool buffers;
  Rng rng(1);
  Registry metrics;
  io::Env env{reactor,  reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
              Logger(), metrics};
  MemorySource source;
  source.add(std::make_shared<MemoryExport>(
      reactor, buffers, ExportTraits{"disk", "a disk in memory", 256 * kMiB, false}));
  source.add(std::make_shared<MemoryExport>(reactor, buffers,
                                            ExportTraits{"fixed", "", 10'000'001, true}));
  Server server(env, {}, source);
  auto tcp = server.listen({"127.0.0.1:0"});
  if (!tcp.ok()) return 1;
  std::ofstream(socket + ".tcp") << tcp->text;
  if (!server.listen({"unix:" + socket}).ok()) return 1;
  reactor.on_signal(SIGTERM, [&reactor] { reactor.stop(); });
  reactor.run();
  reactor.run_until_done(server.stop());
  return server.sessions_count() == 0 ? 0 : 2;
}

class ToolsTest : public ::testing::Test {
 protected:
  ToolsTest() {
    char name[] = "/tmp/cairn-nbd-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    folder_ = name;
    child_ = fork();
    CHECK(child_ >= 0);
    if (child_ == 0) _exit(serve(socket()));
    // The socket appears when the child listens.
    for (int i = 0; i < 1000 && access(socket().c_str(), F_OK) != 0; ++i) usleep(10'000);
  }
  ~ToolsTest() override {
    kill(child_, SIGTERM);
    int status = 0;
    waitpid(child_, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the server ended badly";
    EXPECT_EQ(system(("rm -rf " + folder_).c_str()), 0);
  }

  std::string socket() const { return folder_ + "/s"; }
  std::string uri(const std::string& name) const {
    return "'nbd+unix:///" + name + "?socket=" + socket() + "'";
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  /// The exit code; what it printed is in output().
  int shell(const std::string& command) {
    const int status = system(("(" + command + ") >" + path("out") + " 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string output() const {
    std::ifstream file(path("out"));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool printed(const std::string& text) const { return output().find(text) != std::string::npos; }

  std::string folder_;
  pid_t child_ = 0;
};

TEST_F(ToolsTest, NbdinfoSeesTheExportAndItsFeatures) {
  ASSERT_EQ(shell("nbdinfo " + uri("disk")), 0) << output();
  for (const char* line :
       {"export-size: 268435456", "is_read_only: false", "can_multi_conn: true", "can_fua: true",
        "can_trim: true", "can_zero: true", "can_fast_zero: true", "can_cache: true",
        "block_size_preferred: 4096", "block_size_maximum: 33554432", "base:allocation",
        "using structured packets", "description: a disk in memory"}) {
    EXPECT_TRUE(printed(line)) << line << " is not in:\n" << output();
  }
}

TEST_F(ToolsTest, NbdinfoListsTheExportsAndNamesAnUnknownOne) {
  ASSERT_EQ(shell("nbdinfo --list " + uri("")), 0) << output();
  EXPECT_TRUE(printed("export=\"disk\"") && printed("export=\"fixed\"")) << output();
  EXPECT_TRUE(printed("is_read_only: true")) << output();
  EXPECT_NE(shell("nbdinfo " + uri("nope")), 0);
  EXPECT_TRUE(printed("server replied with error") && printed("export: nope")) << output();
}

TEST_F(ToolsTest, NbdcopyBringsARandomFileInAndOutUnchanged) {
  ASSERT_EQ(shell("head -c 200000000 /dev/urandom > " + path("in")), 0) << output();
  ASSERT_EQ(shell("truncate -s 256M " + path("in")), 0) << output();
  ASSERT_EQ(shell("nbdcopy " + path("in") + " " + uri("disk")), 0) << output();
  ASSERT_EQ(shell("nbdcopy " + uri("disk") + " " + path("back")), 0) << output();
  EXPECT_EQ(shell("cmp " + path("in") + " " + path("back")), 0) << output();
  ASSERT_EQ(shell("nbdinfo --map " + uri("disk")), 0) << output();
  EXPECT_TRUE(printed("hole,zero")) << output();
  ASSERT_EQ(shell("nbdcopy --synchronous --connections=1 --requests=1 " + uri("disk") + " null:"),
            0)
      << output();
}

TEST_F(ToolsTest, QemuIoWritesPatternsTrimsZeroesAndVerifies) {
  const std::string qemu = "qemu-io -f raw " + uri("disk");
  ASSERT_EQ(
      shell(qemu + " -c 'write -P 0x5a 0 1M' -c 'write -P 0xa5 4k 4k' -c 'read -P 0xa5 4k 4k'"
                   " -c 'read -P 0x5a 8k 1016k' -c 'write -z 64k 64k' -c 'read -P 0 64k 64k'"
                   " -c 'discard 128k 128k' -c 'read -P 0 128k 128k' -c flush"
                   " -c 'write -f -P 0x11 513 1' -c 'read -P 0x11 513 1' -c 'read -P 0x5a 514 1000'"
                   " -c 'write -P 0x77 100M 32M' -c 'read -P 0x77 100M 32M'"),
      0)
      << output();
  EXPECT_FALSE(printed("failed")) << output();
  EXPECT_NE(shell("qemu-io -r -f raw " + uri("fixed") + " -c 'write 0 512'"), 0);
  EXPECT_EQ(shell("qemu-io -r -f raw " + uri("fixed") + " -c 'read -P 0 9999000 1000'"), 0)
      << output();
}

TEST_F(ToolsTest, FioWritesAtDepthAndVerifiesOverTcpAndUnixSockets) {
  std::string tcp;
  std::ifstream(socket() + ".tcp") >> tcp;
  for (const std::string& target : {uri("disk"), "nbd://" + tcp + "/disk"}) {
    EXPECT_EQ(shell("fio --name=v --ioengine=nbd --uri=" + target +
                    " --rw=randwrite --bs=4k --size=32M --iodepth=64 --verify=crc32c"
                    " --verify_fatal=1"),
              0)
        << output();
    EXPECT_TRUE(printed("err= 0")) << output();
  }
}

TEST_F(ToolsTest, GarbageEndsThatConnectionAlone) {
  ASSERT_EQ(shell("python3 - <<'PY'\n"
                  "import socket\n"
                  "for junk in (b'GET / HTTP/1.0\\r\\n\\r\\n' * 100, b'\\0' * 100000):\n"
                  "    s = socket.socket(socket.AF_UNIX)\n"
                  "    s.settimeout(5)\n"
                  "    s.connect('" +
                  socket() +
                  "')\n"
                  "    try:\n"
                  "        s.sendall(junk)\n"
                  "        while s.recv(65536): pass\n"
                  "    except (ConnectionError, BrokenPipeError): pass\n"
                  "PY\n"),
            0)
      << output();
  EXPECT_EQ(shell("nbdinfo --size " + uri("disk")), 0) << output();
}

}  // namespace
}  // namespace cairn::nbd
