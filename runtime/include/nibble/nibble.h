/* The C interface of the Nibble runtime.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *   nbl_engine *engine; nbl_device *device; nbl_session *session; nbl_context
 * *context; nbl_engine_load("policy.nbl", 0, &engine); nbl_device_create("cpu",
 * 2, &device); nbl_session_create(engine, device, &session);
 *   nbl_context_create(session, &context);
 *   nbl_context_set_input(context, 0, 0, x, x_bytes);
 *   nbl_context_run(context, 0);
 *   nbl_context_get_output(context, 0, 0, y, y_bytes);
 *
 * Every function that can fail returns a nbl_status: NULL if all is well, else
 * an object that says what happened; free it with nbl_status_free. On failure
 * results are not written. No function throws, prints or ends the process.
 *
 * Handles: a session keeps its engine and device alive, a context its session,
 * so that handles may be freed in any order. Engines, devices and sessions may
 * be used by several threads at once, a context by one at a time. Freeing NULL
 * does nothing. Strings returned live as long as the handle they came from.
 */
#ifndef NIBBLE_NIBBLE_H
#define NIBBLE_NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NBL_API __attribute__((visibility("default")))
#else
#define NBL_API
#endif

/* Grows when functions are added; the major number changes when existing ones
 * do. Compare NBL_API_VERSION / 1000 with nbl_api_version() / 1000. */
#define NBL_API_VERSION 1002
NBL_API uint32_t nbl_api_version(void);

typedef enum nbl_code {
  NBL_OK = 0,
  NBL_INVALID_ARGUMENT = 1, /* the caller asked for something that cannot be */
  NBL_NOT_FOUND = 2,        /* no such file, entry point, port, device */
  NBL_MALFORMED = 3,        /* the file is truncated, corrupt or inconsistent */
  NBL_UNSUPPORTED = 4,      /* well-formed, but not for this build or version */
  NBL_IO = 5,               /* the operating system refused */
  NBL_DEVICE = 6,           /* the device refused, or is not in this build */
  NBL_OUT_OF_MEMORY = 7,
  NBL_MISMATCH = 8, /* results differ (used by the tools) */
  NBL_INTERNAL = 9  /* a bug of Nibble */
} nbl_code;

typedef struct nbl_status nbl_status;
typedef struct nbl_engine nbl_engine;
typedef struct nbl_device nbl_device;
typedef struct nbl_session nbl_session;
typedef struct nbl_context nbl_context;
typedef struct nbl_recording nbl_recording;

NBL_API nbl_code nbl_status_code(const nbl_status *status);
/* The whole chain, outermost context first: "engine 'x.nbl': ...". */
NBL_API const char *nbl_status_message(const nbl_status *status);
NBL_API void nbl_status_free(nbl_status *status);

/* Log. Without a callback nothing is written anywhere. Called from any thread,
 * possibly from several at once; must not call back into the runtime. */
typedef enum nbl_severity {
  NBL_LOG_ERROR = 0, /* also every status that a function returns */
  NBL_LOG_WARNING = 1,
  NBL_LOG_INFO = 2
} nbl_severity;
typedef void (*nbl_log_callback)(void *user, nbl_severity severity,
                                 const char *source, const char *message);
/* Process-wide. NULL switches it off. */
NBL_API void nbl_set_log_callback(nbl_log_callback callback, void *user);

/* Engines: a mapped and validated file. */
#define NBL_LOAD_CHECK_BLOBS 1u /* also verify the hashes of all constants */
NBL_API nbl_status *nbl_engine_load(const char *path, uint32_t flags,
                                    nbl_engine **engine);
NBL_API void nbl_engine_free(nbl_engine *engine);
NBL_API const char *nbl_engine_target(const nbl_engine *engine);
/* The command line that made the engine; may be empty. */
NBL_API const char *nbl_engine_command(const nbl_engine *engine);
/* The compiler's report, JSON; may be empty. */
NBL_API const char *nbl_engine_report(const nbl_engine *engine);

/* Entry points are numbered from 0. */
NBL_API uint32_t nbl_engine_entry_count(const nbl_engine *engine);
NBL_API const char *nbl_engine_entry_name(const nbl_engine *engine,
                                          uint32_t entry);
NBL_API nbl_status *nbl_engine_find_entry(const nbl_engine *engine,
                                          const char *name, uint32_t *entry);

/* An input, output or state. */
typedef struct nbl_port {
  const char *name;
  const char *dtype; /* "f32", "f16", "bf16", "si64", "i1", "!nq.scaled<...>" */
  const int64_t *shape;
  uint32_t rank;
  uint64_t bytes; /* row-major, little endian; bool is one byte 0 or 1 */
} nbl_port;
NBL_API uint32_t nbl_engine_input_count(const nbl_engine *engine,
                                        uint32_t entry);
NBL_API uint32_t nbl_engine_output_count(const nbl_engine *engine,
                                         uint32_t entry);
NBL_API uint32_t nbl_engine_state_count(const nbl_engine *engine);
NBL_API nbl_status *nbl_engine_input(const nbl_engine *engine, uint32_t entry,
                                     uint32_t index, nbl_port *port);
NBL_API nbl_status *nbl_engine_output(const nbl_engine *engine, uint32_t entry,
                                      uint32_t index, nbl_port *port);
NBL_API nbl_status *nbl_engine_state(const nbl_engine *engine, uint32_t index,
                                     nbl_port *port);

/* Devices: "cpu" (threads including the caller, 0 = 2), "cuda" (the first GPU,
 * in its primary context), "emu" (an emulated one) or "null". */
NBL_API nbl_status *nbl_device_create(const char *name, uint32_t threads,
                                      nbl_device **device);
/* "cuda" or "emu" (since 1001) on a stream of the caller, a CUstream or
 * cudaStream_t of the primary context, that must outlive the device: work of
 * both is in order without waiting, and what nbl_context_enqueue does can be
 * captured in a graph of the caller. */
NBL_API nbl_status *nbl_device_create_on_stream(const char *name, void *stream,
                                                nbl_device **device);
NBL_API void nbl_device_free(nbl_device *device);
/* "2 threads, avx2". */
NBL_API const char *nbl_device_description(const nbl_device *device);

/* Sessions: code and constants of an engine on a device. */
NBL_API nbl_status *nbl_session_create(nbl_engine *engine, nbl_device *device,
                                       nbl_session **session);
NBL_API void nbl_session_free(nbl_session *session);

/* Contexts: inputs, outputs, arena and states of one execution. */
NBL_API nbl_status *nbl_context_create(nbl_session *session,
                                       nbl_context **context);
NBL_API void nbl_context_free(nbl_context *context);
/* Copies; `bytes` must be that of the port. */
NBL_API nbl_status *nbl_context_set_input(nbl_context *context, uint32_t entry,
                                          uint32_t input, const void *data,
                                          uint64_t bytes);
NBL_API nbl_status *nbl_context_get_output(nbl_context *context, uint32_t entry,
                                           uint32_t output, void *data,
                                           uint64_t bytes);
/* Uses the caller's memory in place until the next call for the port: memory of
 * the device (cuda: of its primary context), 64-byte aligned. What other
 * streams still do to it is to be waited for before a run. NULL goes back to
 * the context's own. */
NBL_API nbl_status *nbl_context_bind_input(nbl_context *context, uint32_t entry,
                                           uint32_t input, const void *data,
                                           uint64_t bytes);
NBL_API nbl_status *nbl_context_bind_output(nbl_context *context,
                                            uint32_t entry, uint32_t output,
                                            void *data, uint64_t bytes);
/* States last from run to run and are zero at first. */
NBL_API nbl_status *nbl_context_set_state(nbl_context *context, uint32_t state,
                                          const void *data, uint64_t bytes);
NBL_API nbl_status *nbl_context_get_state(nbl_context *context, uint32_t state,
                                          void *data, uint64_t bytes);
NBL_API nbl_status *nbl_context_reset_states(nbl_context *context);

NBL_API nbl_status *nbl_context_run(nbl_context *context, uint32_t entry);

/* Enqueues a run and returns (since 1001). Ports that are not bound get memory,
 * which a stream that captures refuses: run once, or bind all, before. */
NBL_API nbl_status *nbl_context_enqueue(nbl_context *context, uint32_t entry);

/* Runs that nobody waits for (since 1002), for loops with a clock: prepare and
 * stage at start, then write inputs, submit, do something else, wait, read
 * outputs. Nothing is allocated from then on.
 *
 * Does what first calls would do: allocates what an entry point needs, buffers
 * and page-locked staging, and records its launches. */
NBL_API nbl_status *nbl_context_prepare(nbl_context *context, uint32_t entry);
/* Memory of the host that stands for a port, of its size, until the port is
 * set or bound otherwise: submit copies inputs from it and outputs to it.
 * Belongs to the context; not to be touched from submit to wait. */
NBL_API nbl_status *nbl_context_stage_input(nbl_context *context,
                                            uint32_t entry, uint32_t input,
                                            void **memory);
NBL_API nbl_status *nbl_context_stage_output(nbl_context *context,
                                             uint32_t entry, uint32_t output,
                                             const void **memory);
/* Enqueues the copies of staged inputs, a run, the copies of staged outputs,
 * and returns. Several may be under way; they run one after the other. "cpu"
 * and "emu" do the work before they return. */
NBL_API nbl_status *nbl_context_submit(nbl_context *context, uint32_t entry);
/* Waits for what was submitted; a failure of it is returned here. */
NBL_API nbl_status *nbl_context_wait(nbl_context *context);
/* `done` becomes 1 if nbl_context_wait would not wait, else 0. */
NBL_API nbl_status *nbl_context_is_done(nbl_context *context, int *done);
/* How often the device has allocated memory, its own or page-locked. */
NBL_API uint64_t nbl_device_allocations(const nbl_device *device);

/* Called after each launch with its layer, kind and wall time in
 * seconds. A result other than 0 stops the run with NBL_INVALID_ARGUMENT. */
typedef int (*nbl_probe)(void *user, uint32_t launch, const char *layer,
                         const char *op, double seconds);
NBL_API nbl_status *nbl_context_run_probed(nbl_context *context, uint32_t entry,
                                           nbl_probe probe, void *user);

/* Recordings (since 1001; cuda and emu): runs of entry points, one after the
 * other, issued as one. Run i is of entries[i] in contexts[i], which are all of
 * one device, with the memory in use when the recording was made. Run each
 * once, or bind all its ports, before. The contexts must outlive it. */
NBL_API nbl_status *nbl_recording_create(nbl_context *const *contexts,
                                         const uint32_t *entries,
                                         uint32_t count,
                                         nbl_recording **recording);
NBL_API void nbl_recording_free(nbl_recording *recording);
/* Issues it `replays` times back to back and waits. `seconds` (may be NULL):
 * from the start of the first to the end of the last, by the clock of the
 * device. */
NBL_API nbl_status *nbl_recording_replay(nbl_recording *recording,
                                         uint32_t replays, double *seconds);

#ifdef __cplusplus
}
#endif

#endif /* NIBBLE_NIBBLE_H */
