/// ChunkService: the RPCs of a chunkserver. One file an operation in ops/.
///
/// Every request is checked against the limits before anything is done; a replica that does not
/// lead answers with a hint instead of an error, so that the client goes on at once. Threads:  one
/// reactor. Lifetime: outlives the rpc::Server that it is added to.
#pragma once

#include "chunkserver/copyset_set.h"
#include "rpc/call.h"
#include "wire/chunk.pb.h"
#include "wire/copyset.pb.h"

namespace cairn::chunkserver {

/// What the operations use of their chunkserver.
class ServiceContext {
 public:
  virtual ~ServiceContext() = default;
  virtual io::Env& env() = 0;
  virtual uint32_t chunk_bytes() const = 0;
  virtual ChunkserverId id() const = 0;
  virtual chunk::ChunkStore& store() = 0;
  /// kUnavailable while starting, and with the reason where it is out of service; kNotFound.
  virtual Result<PinnedCopyset> find_copyset(CopysetId id) = 0;
  /// Valid until the next suspension.
  virtual std::vector<Copyset*> copysets() = 0;
  virtual const std::map<GroupId, std::string>& damaged_copysets() const = 0;
  virtual const io::Address* address_of(NodeId node) const = 0;
  /// CopysetSet::create and remove, while this chunkserver serves.
  virtual io::Task<Status> create_copyset(wire::CreateCopysetRequest request) = 0;
  virtual io::Task<Status> remove_copyset(CopysetId id, Epoch epoch) = 0;
  /// A read or flush of the store failed in a way that only a restart can mend.
  virtual void report(const Error& failure) = 0;
};

template <class Reply>
using Answered = io::Task<Result<rpc::Answer<Reply>>>;

class ChunkService {
 public:
  explicit ChunkService(ServiceContext& context) : context_(context) {}

  Answered<wire::PingReply> ping(rpc::Call<wire::PingRequest> call);
  Answered<wire::ReadChunkReply> read_chunk(rpc::Call<wire::ReadChunkRequest> call);
  Answered<wire::WriteChunkReply> write_chunk(rpc::Call<wire::WriteChunkRequest> call);
  Answered<wire::DeleteChunkReply> delete_chunk(rpc::Call<wire::DeleteChunkRequest> call);
  Answered<wire::FetchChunkReply> fetch_chunk(rpc::Call<wire::FetchChunkRequest> call);
  Answered<wire::ChunkHashReply> chunk_hash(rpc::Call<wire::ChunkHashRequest> call);
  Answered<wire::CreateCopysetReply> create_copyset(rpc::Call<wire::CreateCopysetRequest> call);
  Answered<wire::DeleteCopysetReply> delete_copyset(rpc::Call<wire::DeleteCopysetRequest> call);
  Answered<wire::CopysetStatusReply> copyset_status(rpc::Call<wire::CopysetStatusRequest> call);

 private:
  /// kInvalidArgument unless 0 < size and offset + size lies within a chunk.
  Status check_range(uint32_t offset_bytes, uint32_t size_bytes) const;
  void fill_redirect(const Copyset& copyset, wire::LeaderHint* hint) const;
  wire::CopysetStatus status_of(Copyset& copyset) const;

  ServiceContext& context_;
};

}  // namespace cairn::chunkserver
