# Random calls at a server; see test/fuzz. Source after suites.sh.
#
#   fuzz_sql SEED SECONDS                     random calls on a server of its own

DW_FUZZ_PACKAGES=(python3 python3-psycopg)

# Little memory and small segments, so that jobs spill and segments follow each other.
fuzz_server_lines=("max_worker_processes = 24" "max_prepared_transactions = 60" "fsync = off" "durable_work.max_wait = '50 ms'"
  "durable_work.max_resident_jobs = 256" "durable_work.timer_horizon = '2 s'" "durable_work.segment_max_size = '1 MB'"
  "durable_work.segment_max_age = '10 s'" "durable_work.truncate_grace = 0" "log_min_messages = error" "log_statement = none"
  "log_min_error_statement = panic")

fuzz_sql() {
  local log=$DW_WORK/fuzz-sql.log status=0
  timeout -k 10 $(($2 + 600)) "$DW_TOP/test/fuzz/sql.py" --seed "$1" --seconds "$2" >"$log" 2>&1 || status=$?
  cut -c 1-4000 "$log"
  tally_score "$log" "$status"
  check_server_log
}
