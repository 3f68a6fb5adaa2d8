#include "base/planted_bug.h"

#ifdef CAIRN_PLANTED_BUGS
namespace cairn::detail {
PlantedBug planted_bug = PlantedBug::kNone;
}
#endif
