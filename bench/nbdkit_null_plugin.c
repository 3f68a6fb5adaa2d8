/* An nbdkit plugin that does nothing, in parallel: what nbdkit itself costs (ADR-0004). */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define EXPORT_BYTES ((int64_t)1 << 30)

static int handle_of_all;

static void *null_open(int readonly) {
  (void)readonly;
  return &handle_of_all;
}

static int64_t null_get_size(void *handle) {
  (void)handle;
  return EXPORT_BYTES;
}

static int null_pread(void *handle, void *into, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle, (void)offset, (void)flags;
  memset(into, 0, count);
  return 0;
}

static int null_pwrite(void *handle, const void *from, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  (void)handle, (void)from, (void)count, (void)offset, (void)flags;
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "cairnnull",
    .open = null_open,
    .get_size = null_get_size,
    .pread = null_pread,
    .pwrite = null_pwrite,
};

NBDKIT_REGISTER_PLUGIN(plugin)
