/*
 * SQLSTATEs that durable_work raises, as five-character strings: core puts
 * them into dw::core::Failure, the shell gives them to pg::raise().
 *
 * Class DW is ours. docs/reference lists every one (ci/sqlstates checks).
 */
#ifndef DURABLE_WORK_ERRORS_H
#define DURABLE_WORK_ERRORS_H

/* The token is not (or no longer) the job's current one; fence refused. */
#define DW_STALE_LEASE "DW001"
/* No such queue, topic or job. */
#define DW_UNKNOWN_OBJECT "DW002"
/* Exists already with other settings. */
#define DW_SETTINGS_DIFFER "DW003"
/* Idempotency key used before with another payload. */
#define DW_PAYLOAD_DIFFERS "DW004"
/* The queue is full. */
#define DW_QUEUE_FULL "DW005"
/* Not allowed in this state; also: another open transaction is deciding the job. */
#define DW_WRONG_STATE "DW006"
/* Library not preloaded, or library and SQL versions do not fit. */
#define DW_NOT_READY "DW007"
/* Definition invalid. */
#define DW_INVALID_DEFINITION "DW008"
/* A workflow did something else on replay. */
#define DW_NONDETERMINISM "DW009"

/* Standard codes, under the names the server gives them. */
#define DW_FEATURE_NOT_SUPPORTED "0A000"
#define DW_ACTIVE_SQL_TRANSACTION "25001"
#define DW_READ_ONLY_SQL_TRANSACTION "25006"
#define DW_NULL_VALUE_NOT_ALLOWED "22004"
#define DW_INVALID_PARAMETER_VALUE "22023"
#define DW_INSUFFICIENT_PRIVILEGE "42501"
#define DW_OUT_OF_MEMORY "53200"
#define DW_PROGRAM_LIMIT_EXCEEDED "54000"
#define DW_OBJECT_IN_USE "55006"
#define DW_INTERNAL_ERROR "XX000"

#endif
