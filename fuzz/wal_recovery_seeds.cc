// Seeds of wal_recovery_fuzz.
/// Links: cairn_wal
#include "fuzz/wal_log.h"

int main(int argc, char** argv) {
  return cairn::wal::seeds::run(argc, argv);
}
