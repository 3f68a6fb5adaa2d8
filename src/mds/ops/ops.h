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

/// Errors: kInvalidArgument name, size, pool, owner or stripes; kAlreadyExists; kNoSpace
/// limits.volumes_max.
io::Task<Result<wire::CreateVolumeReply>> create_volume(Context& mds,
                                                        wire::CreateVolumeRequest request);
/// Those of a folder and all below it, or those that lie in the folder itself and the names of its
/// folders; or those in the recycle bin. In the names' order; in the bin in that of their ids.
/// Errors: kInvalidArgument the folder's name; kNotFound no volume's name has the folder.
Result<wire::ListVolumesReply> list_volumes(Context& mds, const wire::ListVolumesRequest& request);
/// Errors: kNotFound.
/// With `with_used`, as long as the slowest of its copysets takes to answer.
io::Task<Result<wire::StatVolumeReply>> stat_volume(Context& mds, wire::StatVolumeRequest request);
/// A volume grows, while it is open too: clients learn of it when they renew their sessions.
/// Errors: kNotFound; kInvalidArgument  the size is odd, too much, or less than the volume has.
io::Task<Result<wire::ExtendVolumeReply>> extend_volume(Context& mds,
                                                        wire::ExtendVolumeRequest request);
/// Who has the volume open goes on undisturbed.
/// Errors: kNotFound; kAlreadyExists  another volume has the new name; kInvalidArgument a name.
io::Task<Result<wire::RenameVolumeReply>> rename_volume(Context& mds,
                                                        wire::RenameVolumeRequest request);
/// Into the recycle bin, where it stays for options.deleted_volume_keep (background/empty_bin.cc),
/// or for good: then the chunks go in the background (background/delete_chunks.cc). The name is
/// free on return, and the volume's sessions have ended. Errors: kNotFound; kPreconditionFailed
/// somebody has it open, and `force` is not set.
io::Task<Result<wire::DeleteVolumeReply>> delete_volume(Context& mds,
                                                        wire::DeleteVolumeRequest request);

/// Brings a volume back from the recycle bin, as it was.
/// Errors: kNotFound; kAlreadyExists  another volume has the name by now; kPreconditionFailed
///         several in the bin have had the name; kInvalidArgument a name.
io::Task<Result<wire::RestoreVolumeReply>> restore_volume(Context& mds,
                                                          wire::RestoreVolumeRequest request);
/// Ends a volume's time in the recycle bin. Errors: kNotFound, kPreconditionFailed as above.
io::Task<Result<wire::PurgeVolumeReply>> purge_volume(Context& mds,
                                                      wire::PurgeVolumeRequest request);

/// Who has which volume open. Errors: kNotFound.
Result<wire::ListSessionsReply> list_sessions(Context& mds,
                                              const wire::ListSessionsRequest& request);
inline constexpr size_t kSessionsPerReplyMax = 10'000;

/// Opens a volume. On return no client with an older fence reads or writes it, whatever of it is
/// still in the network. A retry with the same session is the same act.
/// Errors: kNotFound         no such volume.
///         kInvalidArgument  the name, the session's number, the client's name.
///         kAlreadyExists    others have it open whom this mode excludes; the text says who, and
///                           when their lease ends. Nothing was changed.
///         kNoSpace          limits.sessions_per_volume_max.
///         kStaleFence       somebody else took the volume while this session opened it.
///         kUnavailable      a copyset of the volume has no leader now: ask again.
io::Task<Result<wire::OpenSessionReply>> open_session(Context& mds,
                                                      wire::OpenSessionRequest request);
/// Errors: kStaleFence the volume was opened by another, or is gone: the session has ended.
io::Task<Result<wire::RenewSessionReply>> renew_session(Context& mds,
                                                        wire::RenewSessionRequest request);
/// Closing what is not open is fine.
io::Task<Result<wire::CloseSessionReply>> close_session(Context& mds,
                                                        wire::CloseSessionRequest request);

/// The same chunks for the same segment, whoever asks and however often.
/// Errors: kNotFound         no such volume; or nothing is allocated and `allocate` is false.
///         kInvalidArgument  the segment lies behind the volume's end.
///         kStaleFence       the caller's session has ended: it may not learn of chunks any more.
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

// Topology. Zones and servers exist as soon as a chunkserver names them; declaring one says more of
// it, or says it earlier.

Result<wire::ShowTopologyReply> show_topology(Context& mds,
                                              const wire::ShowTopologyRequest& request);

/// Adds a pool, or changes it: its copysets are planned when enough chunkservers are there.
/// Errors: kInvalidArgument  a name or value; kAlreadyExists, kNotFound as `is_new` says;
///         kPreconditionFailed  its copysets are placed by what is to change; kNoSpace kPoolsMax.
io::Task<Result<wire::PutPoolReply>> put_pool(Context& mds, wire::PutPoolRequest request);
inline constexpr size_t kPoolsMax = 64;
/// Errors: kNotFound; kPreconditionFailed  it has volumes or copysets, or is the default.
io::Task<Result<wire::RemovePoolReply>> remove_pool(Context& mds, wire::RemovePoolRequest request);

/// Errors: as put_pool(); kPreconditionFailed  replicas lie in it and it would change its physical
///         pool.
io::Task<Result<wire::PutZoneReply>> put_zone(Context& mds, wire::PutZoneRequest request);
/// Errors: kNotFound; kPreconditionFailed  something is in it.
io::Task<Result<wire::RemoveZoneReply>> remove_zone(Context& mds, wire::RemoveZoneRequest request);

/// Errors: kInvalidArgument a name; kNotFound no such zone; kAlreadyExists; kNoSpace.
io::Task<Result<wire::PutServerReply>> put_server(Context& mds, wire::PutServerRequest request);
/// Errors: kNotFound; kPreconditionFailed  chunkservers are on it.
io::Task<Result<wire::RemoveServerReply>> remove_server(Context& mds,
                                                        wire::RemoveServerRequest request);

/// All that the request selects, or none.
/// Errors: kNotFound; kInvalidArgument a tag; kPreconditionFailed  it holds replicas of a pool that
///         wants a tag which it would lose.
io::Task<Result<wire::SetChunkserversReply>> set_chunkservers(Context& mds,
                                                              wire::SetChunkserversRequest request);
/// Forgets a chunkserver that is empty; its disk is refused from then on.
/// Errors: kNotFound; kPreconditionFailed  it holds replicas, or may be given some;
///         kUnavailable  some copysets' leaders were not heard yet, and it may be their learner.
io::Task<Result<wire::RemoveChunkserverReply>> remove_chunkserver(
    Context& mds, wire::RemoveChunkserverRequest request);

/// kAlreadyExists if `address` is another than the known one, which was heard a moment ago: a copy
/// of the data directory was started.
Status check_move(const Context& mds, const Chunkserver& known, const std::string& address);
/// Moves a chunkserver's record to another address or capacity, if they differ. Takes the lock.
/// For register_chunkserver and heartbeat.
/// Errors: kAlreadyExists the address belongs to another disk, or check_move; kNotFound no such
///         chunkserver.
io::Task<Status> update_chunkserver(Context& mds, ChunkserverId id, std::string address,
                                    uint64_t capacity_bytes);

}  // namespace cairn::mds::ops
