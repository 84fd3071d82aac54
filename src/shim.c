/*
 * The skin: every exported symbol of the library, in C.
 *
 * Each entry point calls its C++ body through the guard. When the guard says
 * that the body threw, all C++ frames are gone, so this file may raise the
 * error: a longjmp from here crosses C frames only. Nothing else is done here;
 * logic belongs to the bodies.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "durable_work/abi.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "durable_work", .version = DW_VERSION);
#else
PG_MODULE_MAGIC;
#endif

extern PGDLLEXPORT void _PG_init(void);
extern PGDLLEXPORT void durable_work_launcher_main(Datum argument);
extern PGDLLEXPORT void durable_work_housekeeper_main(Datum argument);

/*
 * Text from core is UTF-8 and already cut at a character boundary. It is
 * passed as an argument of "%s", never as a format.
 */
void dw_raise_failure(const dw_failure* fail) {
  if (fail->server_error) PG_RE_THROW();

  ereport(ERROR, (errcode(MAKE_SQLSTATE(fail->sqlstate[0], fail->sqlstate[1], fail->sqlstate[2],
                                        fail->sqlstate[3], fail->sqlstate[4])),
                  errmsg_internal("%s", fail->message),
                  fail->detail[0] != '\0' ? errdetail_internal("%s", fail->detail) : 0,
                  fail->hint[0] != '\0' ? errhint("%s", fail->hint) : 0));
  pg_unreachable();
}

static Datum dispatch(dw_body body, FunctionCallInfo fcinfo) {
  Datum result;
  dw_failure failure; /* written only when the body fails */

  if (!dw_guard(body, fcinfo, &result, &failure)) dw_raise_failure(&failure);
  return result;
}

static void enter(dw_plain_body body, void* argument) {
  dw_failure failure;

  if (!dw_guard_plain(body, argument, &failure)) dw_raise_failure(&failure);
}

/* SQL functions. */
#define DW_FUNCTION(name)                   \
  PG_FUNCTION_INFO_V1(durable_work_##name); \
  Datum durable_work_##name(PG_FUNCTION_ARGS) { return dispatch(dw_##name##_body, fcinfo); }
#include "durable_work/functions.def"
#undef DW_FUNCTION

/* Library load. */
static void init_body(void* argument) {
  (void)argument;
  dw_runtime_init();
}

void _PG_init(void) { enter(init_body, NULL); }

/* Background workers, named by RegisterBackgroundWorker. */
static void launcher_body(void* argument) { dw_launcher_main_body(*(Datum*)argument); }

void durable_work_launcher_main(Datum argument) { enter(launcher_body, &argument); }

static void housekeeper_body(void* argument) { dw_housekeeper_main_body(*(Datum*)argument); }

void durable_work_housekeeper_main(Datum argument) { enter(housekeeper_body, &argument); }
