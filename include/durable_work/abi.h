/*
 * The line between C and C++: plain C, fixed buffers, nothing to destroy.
 *
 * shim.c (C, owns every exported symbol) calls a body (C++, src/<capability>)
 * through a guard (guard.cpp, the one try/catch). A body that ends in a C++
 * exception comes back as `false` and a filled dw_failure; then no C++ frame
 * is left and shim.c raises the error. A server error jumps over all of it.
 *
 * Include after postgres.h and fmgr.h.
 */
#ifndef DURABLE_WORK_ABI_H
#define DURABLE_WORK_ABI_H

#ifndef POSTGRES_H
#error "include postgres.h before durable_work/abi.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a body that threw. Buffers are NUL-terminated. */
typedef struct dw_failure {
  bool server_error; /* a server error waits on the server's own error stack; the rest is unset */
  char sqlstate[6];
  char message[512];
  char detail[1024]; /* empty: none */
  char hint[512];    /* empty: none */
} dw_failure;

/* A SQL function's body: reads its arguments, returns its value. */
typedef Datum (*dw_body)(FunctionCallInfo fcinfo);
/* Anything else that is entered through the guard. */
typedef void (*dw_plain_body)(void* argument);

/* guard.cpp. True: *out holds the result. False: *fail says why, *out is unset. */
extern bool dw_guard(dw_body body, FunctionCallInfo fcinfo, Datum* out, dw_failure* fail);
extern bool dw_guard_plain(dw_plain_body body, void* argument, dw_failure* fail);

/* shim.c. Re-throws the server error in flight, or raises what `fail` says. Does not return. */
extern void dw_raise_failure(const dw_failure* fail) __attribute__((noreturn));

/* Bodies of the SQL functions. */
#define DW_FUNCTION(name) extern Datum dw_##name##_body(FunctionCallInfo fcinfo);
#include "durable_work/functions.def"
#undef DW_FUNCTION

/* src/runtime: settings, hooks, shared memory request, launcher registration. Called by _PG_init.
 */
extern void dw_runtime_init(void);
/* src/runtime: the background workers. They return when they are done, or leave by proc_exit. */
extern void dw_launcher_main_body(Datum argument);
extern void dw_housekeeper_main_body(Datum argument);

#ifdef __cplusplus
}
#endif

#endif
