/// The operations of the metadata server, one file each. Each is idempotent: a caller that got no
/// answer asks again, and create and delete of a volume say then that it is so already.
///
/// Errors of all that write: the store's (kIo, kNoSpace, ...): the outcome is unknown, ask again.
/// Lifetime: the context outlives every call.
#pragma once

#include "io/task.h"
#include "mds/context.h"

namespace cairn::mds::ops {

/// Gives a disk its identity; the token, made with the disk, is what it is recognized by.
/// Errors: kAlreadyExists    the address belongs to another disk.
///         kInvalidArgument  a malformed request; another zone or server than before.
///         kNoSpace          limits.chunkservers_max.
io::Task<Result<wire::RegisterChunkserverReply>> register_chunkserver(
    Context& mds, wire::RegisterChunkserverRequest request);

/// Takes in what a chunkserver tells and answers what it should have.
/// Errors: kNotFound         no such chunkserver here: a wrong MDS, or one with another store.
///         kInvalidArgument  the token is another disk's.
///         kAlreadyExists    it moved to an address that belongs to another disk.
io::Task<Result<wire::HeartbeatReply>> heartbeat(Context& mds, wire::HeartbeatRequest request);

/// Errors: kInvalidArgument name, size or pool; kAlreadyExists; kNoSpace limits.volumes_max.
io::Task<Result<wire::CreateVolumeReply>> create_volume(Context& mds,
                                                        wire::CreateVolumeRequest request);
/// In the names' order.
Result<wire::ListVolumesReply> list_volumes(Context& mds, const wire::ListVolumesRequest& request);
/// Errors: kNotFound.
Result<wire::StatVolumeReply> stat_volume(Context& mds, const wire::StatVolumeRequest& request);
/// The name is free on return; the chunks go in the background (background/delete_chunks.cc).
/// Errors: kNotFound.
io::Task<Result<wire::DeleteVolumeReply>> delete_volume(Context& mds,
                                                        wire::DeleteVolumeRequest request);

/// The same chunks for the same segment, whoever asks and however often.
/// Errors: kNotFound         no such volume; or nothing is allocated and `allocate` is false.
///         kInvalidArgument  the segment lies behind the volume's end.
///         kUnavailable      no copyset has a majority online now; nothing was allocated.
///         kNoSpace          all copysets have a full disk; nothing was allocated.
io::Task<Result<wire::GetSegmentReply>> get_segment(Context& mds, wire::GetSegmentRequest request);

/// Errors: kNotFound one of them, by its id; kInvalidArgument more than kCopysetsPerReplyMax.
Result<wire::GetCopysetsReply> get_copysets(Context& mds, const wire::GetCopysetsRequest& request);
inline constexpr size_t kCopysetsPerReplyMax = 16'384;

Result<wire::ClusterStatusReply> cluster_status(Context& mds,
                                                const wire::ClusterStatusRequest& request);

/// Errors: kNotFound.
Result<wire::ShowCopysetReply> show_copyset(Context& mds, const wire::ShowCopysetRequest& request);

/// The oldest first, at most kOperatorsPerReplyMax.
Result<wire::ListOperatorsReply> list_operators(Context& mds,
                                                const wire::ListOperatorsRequest& request);
inline constexpr size_t kOperatorsPerReplyMax = 10'000;

/// Gives up what the operator has not done yet; a change that its leader has begun goes on there,
/// and the planners may plan another. Errors: kNotFound.
io::Task<Result<wire::CancelOperatorReply>> cancel_operator(Context& mds,
                                                            wire::CancelOperatorRequest request);

/// Plans to even out a pool's leaders at once, without rests and limits.
/// Errors: kNotFound no such pool.
io::Task<Result<wire::BalanceLeadersReply>> balance_leaders(Context& mds,
                                                            wire::BalanceLeadersRequest request);

/// Moves a chunkserver's record to another address or capacity, if they differ. Takes the lock.
/// For register_chunkserver and heartbeat.
/// Errors: kAlreadyExists the address belongs to another disk; kNotFound no such chunkserver.
io::Task<Status> update_chunkserver(Context& mds, ChunkserverId id, std::string address,
                                    uint64_t capacity_bytes);

}  // namespace cairn::mds::ops
