/// ChunkService: the RPCs of a chunkserver. One file an operation in ops/.
///
/// Every request is checked against the limits before anything is done; a replica that does not
/// lead answers with a hint instead of an error, so that the client goes on at once. Threads:  one
/// reactor. Lifetime: outlives the rpc::Server that it is added to.
#pragma once

#include "chunkserver/background/change_runner.h"
#include "chunkserver/copyset_set.h"
#include "rpc/call.h"
#include "wire/chunk.pb.h"
#include "wire/copyset.pb.h"
#include "wire/scan.pb.h"
#include "wire/session.pb.h"

namespace cairn::chunkserver {

class Scan;

/// What the operations use of their chunkserver.
class ServiceContext {
 public:
  virtual ~ServiceContext() = default;
  virtual io::Env& env() = 0;
  virtual uint32_t chunk_bytes() const = 0;
  virtual ChunkserverId id() const = 0;
  virtual chunk::ChunkStore& store() = 0;
  virtual Scan& scan() = 0;
  /// kUnavailable while starting, and with the reason where it is out of service; kNotFound.
  virtual Result<PinnedCopyset> find_copyset(CopysetId id) = 0;
  /// Valid until the next suspension.
  virtual std::vector<Copyset*> copysets() = 0;
  virtual const std::map<GroupId, std::string>& damaged_copysets() const = 0;
  virtual const io::Address* address_of(NodeId node) const = 0;
  /// Where this one is reached.
  virtual const io::Address& address() const = 0;
  /// CopysetSet::create and remove, while this chunkserver serves.
  virtual io::Task<Status> create_copyset(wire::CreateCopysetRequest request) = 0;
  virtual io::Task<Status> remove_copyset(CopysetId id, Epoch epoch) = 0;
  virtual ChangeRunner& changes() = 0;
  /// Remembers where a chunkserver is reached, durably.
  virtual io::Task<void> learn_addresses(std::vector<wire::NodeAddress> peers) = 0;
  /// A read or flush of the store failed in a way that only a restart can mend.
  virtual void report(const Error& failure) = 0;
};

template <class Reply>
using Answered = io::Task<Result<rpc::Answer<Reply>>>;

/// Since the start; for heartbeats.
struct IoCounts {
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  Duration read_time{};  ///< of all reads, from the request to its answer
  Duration write_time{};
};

class ChunkService {
 public:
  explicit ChunkService(ServiceContext& context) : context_(context) {}

  Answered<wire::PingReply> ping(rpc::Call<wire::PingRequest> call);
  Answered<wire::ReadChunkReply> read_chunk(rpc::Call<wire::ReadChunkRequest> call);
  Answered<wire::WriteChunkReply> write_chunk(rpc::Call<wire::WriteChunkRequest> call);
  Answered<wire::DeleteChunkReply> delete_chunk(rpc::Call<wire::DeleteChunkRequest> call);
  Answered<wire::CountChunksReply> count_chunks(rpc::Call<wire::CountChunksRequest> call);
  Answered<wire::RaiseFenceReply> raise_fence(rpc::Call<wire::RaiseFenceRequest> call);
  Answered<wire::FetchChunkReply> fetch_chunk(rpc::Call<wire::FetchChunkRequest> call);
  Answered<wire::ChunkHashReply> chunk_hash(rpc::Call<wire::ChunkHashRequest> call);
  Answered<wire::CreateCopysetReply> create_copyset(rpc::Call<wire::CreateCopysetRequest> call);
  Answered<wire::DeleteCopysetReply> delete_copyset(rpc::Call<wire::DeleteCopysetRequest> call);
  Answered<wire::ScanTableReply> scan_table(rpc::Call<wire::ScanTableRequest> call);
  Answered<wire::ReplaceBlocksReply> replace_blocks(rpc::Call<wire::ReplaceBlocksRequest> call);
  Answered<wire::StartScanReply> start_scan(rpc::Call<wire::StartScanRequest> call);
  Answered<wire::ScanStatusReply> scan_status(rpc::Call<wire::ScanStatusRequest> call);
  Answered<wire::CopysetStatusReply> copyset_status(rpc::Call<wire::CopysetStatusRequest> call);
  Answered<wire::PeersReply> add_peer(rpc::Call<wire::AddPeerRequest> call);
  Answered<wire::PeersReply> remove_peer(rpc::Call<wire::RemovePeerRequest> call);
  Answered<wire::PeersReply> change_peers(rpc::Call<wire::ChangePeersRequest> call);
  Answered<wire::PeersReply> transfer_leader(rpc::Call<wire::TransferLeaderRequest> call);
  Answered<wire::PeersReply> reset_peers(rpc::Call<wire::ResetPeersRequest> call);
  Answered<wire::LearnPeersReply> learn_peers(rpc::Call<wire::LearnPeersRequest> call);
  Answered<wire::GetLeaderReply> get_leader(rpc::Call<wire::GetLeaderRequest> call);
  Answered<wire::SnapshotCopysetReply> snapshot_copyset(
      rpc::Call<wire::SnapshotCopysetRequest> call);

  const IoCounts& io_counts() const { return io_counts_; }

 private:
  /// Begins the change, or finds it under way, and waits until shortly before the deadline.
  Answered<wire::PeersReply> run_change(ChangeOrder order, Instant deadline);
  void fill_members(CopysetId id, wire::PeersReply* reply);
  /// kInvalidArgument: none, or one twice.
  static Result<std::vector<NodeId>> distinct_nodes(
      const google::protobuf::RepeatedPtrField<wire::NodeAddress>& peers);
  /// kInvalidArgument unless 0 < size and offset + size lies within a chunk.
  Status check_range(uint32_t offset_bytes, uint32_t size_bytes) const;
  void fill_redirect(const Copyset& copyset, wire::LeaderHint* hint) const;
  wire::CopysetStatus status_of(Copyset& copyset) const;

  ServiceContext& context_;
  IoCounts io_counts_;
};

}  // namespace cairn::chunkserver
