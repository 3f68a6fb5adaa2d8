/// ChunkService: the RPCs of a chunkserver. One file an operation in ops/.
///
/// Every request is checked against the limits before anything is done; a replica that does not
/// lead answers with a hint instead of an error, so that the client goes on at once. Threads:  one
/// reactor. Lifetime: outlives the rpc::Server that it is added to.
#pragma once

#include "chunkserver/copyset.h"
#include "multiraft/host.h"
#include "rpc/call.h"
#include "wire/chunk.pb.h"

namespace cairn::chunkserver {

/// What the operations use of their chunkserver.
class ServiceContext {
 public:
  virtual ~ServiceContext() = default;
  virtual io::Env& env() = 0;
  virtual uint32_t chunk_bytes() const = 0;
  virtual ChunkserverId id() const = 0;
  virtual chunk::ChunkStore& store() = 0;
  /// kUnavailable while starting; kNotFound; kIo with the reason where the group is out of service.
  virtual Result<Copyset*> find_copyset(CopysetId id) = 0;
  virtual std::vector<Copyset*> copysets() = 0;
  virtual const std::map<GroupId, std::string>& damaged_copysets() const = 0;
  virtual const io::Address* address_of(NodeId node) const = 0;
  /// Makes the copyset with these members; returns the one that is there.
  virtual io::Task<Result<Copyset*>> create_copyset(wire::CreateCopysetRequest request) = 0;
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
  Answered<wire::CopysetStatusReply> copyset_status(rpc::Call<wire::CopysetStatusRequest> call);

 private:
  /// kInvalidArgument unless 0 < size and offset + size lies within a chunk.
  Status check_range(uint32_t offset_bytes, uint32_t size_bytes) const;
  void fill_redirect(const Copyset& copyset, wire::LeaderHint* hint) const;
  wire::CopysetStatus status_of(Copyset& copyset) const;

  ServiceContext& context_;
};

}  // namespace cairn::chunkserver
