/// What happens to a volume as a whole: its record changes, and its name and its sessions with it.
/// Threads: one reactor. store_volume() is called under the mutation lock.
#pragma once

#include "mds/context.h"

namespace cairn::mds {

/// Stores a volume's new record in place of the one in the state. The rest follows from the record:
/// a volume that is in use has its name and keeps its sessions, one that is deleted (into the
/// recycle bin, or for good) has neither. If that ends sessions, the fence goes up by one: what
/// their clients have left in the network must not reach whoever opens the volume when it comes
/// back.
/// Errors: those of Context::commit; the state is as it was then, or loaded anew.
io::Task<Status> store_volume(Context& mds, wire::VolumeRecord after);

/// As callers see a volume: with the time at which the recycle bin gives it up.
wire::VolumeInfo describe_volume(const Context& mds, const wire::VolumeRecord& volume);

/// What every operation on a volume says that finds none of the name.
Error no_such_volume(std::string_view name);
/// Errors: kAlreadyExists; `undone` says what was not done.
Status check_name_is_free(const Context& mds, std::string_view name, std::string_view undone);

/// A volume in the recycle bin: by `id` if that is not 0, and else by name.
/// Errors: kNotFound; kPreconditionFailed several have had that name: the text says how to choose.
Result<const wire::VolumeRecord*> find_in_bin(const Context& mds, std::string_view name,
                                              uint64_t id);

/// The one whose lease runs, if any; an exclusive one first.
const Session* live_session(const Context& mds, VolumeId volume);

}  // namespace cairn::mds
