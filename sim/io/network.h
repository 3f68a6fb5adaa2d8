/// SimNetwork: io::Network of one simulated process; the wires are the Fabric's.
/// Threads: one.
#pragma once

#include <memory>
#include <string>

#include "io/network.h"
#include "sim/io/fabric.h"
#include "sim/io/host.h"

namespace cairn::sim {

class SimConnection : public io::Connection, private io::TurnHook {
 public:
  SimConnection(Fabric& fabric, Process& process, std::shared_ptr<Fabric::Link> link, int side,
                io::Address peer);
  ~SimConnection() override;

  void start(io::ConnectionHandler& handler) override;
  void send(Buffer bytes) override;
  size_t unsent_bytes() const override;
  void expect(size_t bytes) override;
  void pause_reading() override;
  void resume_reading() override;
  const io::Address& peer() const override { return peer_; }

 private:
  friend class Fabric;
  void on_turn_end() override;
  void flush();
  Fabric::End& end() const { return link_->ends[side_]; }

  Fabric& fabric_;
  Process& process_;
  const std::shared_ptr<Fabric::Link> link_;  ///< shared with the events under way
  const int side_;
  const io::Address peer_;
  io::ConnectionHandler* handler_ = nullptr;  ///< null: not started, or told that it is closed
  std::vector<Buffer> queued_;                ///< this turn's
  size_t queued_bytes_ = 0;
};

class SimListener : public io::Listener {
 public:
  SimListener(Fabric& fabric, Process& process, std::string key, io::Address address,
              io::Network::Accept accept);
  ~SimListener() override;
  const io::Address& address() const override { return address_; }

 private:
  friend class SimNetwork;
  Fabric& fabric_;
  Process& process_;
  const std::string key_;
  const io::Address address_;
  const io::Network::Accept accept_;
};

class SimNetwork : public io::Network {
 public:
  SimNetwork(Fabric& fabric, Process& process) : fabric_(fabric), process_(process) {}

  Result<std::unique_ptr<io::Listener>> listen(io::Address address, Accept accept) override;
  io::Task<Result<std::unique_ptr<io::Connection>>> connect(io::Address address,
                                                            Duration timeout) override;

 private:
  std::string key_of(const io::Address& address) const;
  Result<std::unique_ptr<io::Connection>> establish(const io::Address& address);

  Fabric& fabric_;
  Process& process_;
};

}  // namespace cairn::sim
