# Test suites that run against a server; shared by scripts/test and scripts/soak.
# Source after common.sh. Each suite prints its output and ends by calling
# `tally PASSED FAILED`; none of them stops the caller.

suite_passed=0
suite_failed=0
tally() {
  suite_passed=$((suite_passed + $1))
  suite_failed=$((suite_failed + $2))
}

# Counts lines that match; never fails.
count_lines() { grep -cE "$1" "$2" || true; }

pgxs_test() { echo "$("$DW_ORIGINAL_PG_CONFIG" --pkglibdir)/pgxs/src/test/$1"; }

# Lines of a server log that no test may cause.
alarming='PANIC|TRAP: |was terminated by signal|stuck spinlock|server process .* exited with exit code [3-9]'
# What the server warns of when something was not given back at the end of a transaction; also where a test ends
# processes on purpose.
leaking='(reference|refcount|file|memory|context|segment) leak: |resource was not closed|you don.t own a lock of type|locallock table corrupted'
sanitizing='ERROR: AddressSanitizer|: runtime error: '
alarming="$alarming|$leaking|$sanitizing"
check_server_log() {
  if grep -nE "$alarming" "$DW_LOG"; then
    echo "the server's log shows the lines above"
    tail -40 "$DW_LOG"
    tally 0 1
  fi
}

# A copy of the tests that the server's user can read, whoever owns the checkout.
readable_tests() {
  local copy=$DW_WORK/tests part
  if [ ! -d "$copy" ]; then
    mkdir -p "$copy"
    for part in test expected sql; do
      if [ -e "$DW_TOP/$part" ]; then cp -r "$DW_TOP/$part" "$copy/"; fi
    done
    chmod -R a+rX "$copy"
  fi
  echo "$copy"
}

# pg_regress prints "test x ... ok 12 ms" up to 15 and TAP from 16 on.
tally_regress() {
  local log=$1 status=$2 ok failed
  ok=$(count_lines '(\.\.\. +ok\b|^ok [0-9]+)' "$log")
  failed=$(count_lines '(\.\.\. +FAILED\b|\.\.\. failed|^not ok [0-9]+)' "$log")
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  tally "$ok" "$failed"
}

# suite_regress KIND SCHEDULE OUTPUT     KIND: regress or isolation. Uses the current server.
suite_regress() {
  local kind=$1 schedule=$2 output=$3 program status=0
  local options=()
  case $kind in
    regress) program=$(pgxs_test regress)/pg_regress ;;
    isolation) program=$(pgxs_test isolation)/pg_isolation_regress ;;
  esac
  if [ "$DW_MAJOR" -ge 16 ]; then options+=(--expecteddir="$DW_TOP/test"); fi
  mkdir -p "$output"
  timeout -k 10 "${DW_SUITE_SECONDS:-1800}" "$program" --bindir="$DW_BINDIR" --inputdir="$DW_TOP/test" \
    --outputdir="$output" --host="$PGHOST" --port="$PGPORT" --user="$PGUSER" \
    --dbname="${kind}_durable_work" --schedule="$schedule" "${options[@]}" >"$output/log" 2>&1 || status=$?
  cat "$output/log"
  for diffs in "$output/regression.diffs" "$output/output_iso/regression.diffs"; do
    if [ -s "$diffs" ]; then head -400 "$diffs"; fi
  done
  tally_regress "$output/log" "$status"
  check_server_log
}

# A file system of 48 MB that tests may fill, if this may mount one; prints where.
small_disk() {
  local place=$DW_WORK/small_disk
  [ "$(id -u)" -eq 0 ] || return 0
  mkdir -p "$place"
  mount -t tmpfs -o size=48m tmpfs "$place" 2>/dev/null || return 0
  chown "$(dw_server_user)" "$place"
  echo "$place"
}

# tap_file FILE OUTPUT SMALL_DISK
tap_file() {
  local perl
  perl=$(pgxs_test perl)
  dw_as_server_user env -u PGHOST -u PGUSER -u PGDATABASE PATH="$PATH" PGPORT=65432 \
    TESTDIR="$2" TESTDATADIR="$2/tmp_check" TESTLOGDIR="$2/tmp_check/log" \
    PG_REGRESS="$(pgxs_test regress)/pg_regress" PG_CONFIG="$DW_PG_CONFIG" TMPDIR="${TMPDIR:-/tmp}" \
    DW_SOAK_SECONDS="${DW_SOAK_SECONDS:-}" DW_OLD_BINDIR="${DW_OLD_BINDIR:-}" ${3:+DW_SMALL_DISK="$3"} \
    timeout -k 10 "${DW_SUITE_SECONDS:-3600}" prove --verbose --timer \
    -I "$perl" -I "$(readable_tests)/test/t" "$1"
}

# suite_tap FILE...    TAP tests start their own servers, as the user that owns servers. One more at a time than there are
# processors: most of the time a test waits for a server.
suite_tap() {
  local output=$DW_WORK/tap status=0 ok failed small file
  dw_server_directory "$DW_WORK/home"
  dw_server_directory "$output"
  readable_tests >/dev/null
  small=$(small_disk)
  for file in "$@"; do
    while [ "$(jobs -pr | wc -l)" -gt "$DW_JOBS" ]; do wait -n || true; done
    { tap_file "$file" "$output" "$small" || echo "$file" >>"$output.failed"; } >"$output.$(basename "$file" .pl)" 2>&1 &
  done
  wait
  if [ -s "$output.failed" ]; then status=1; fi
  if [ -n "$small" ]; then umount -l "$small"; fi
  for file in "$@"; do cat "$output.$(basename "$file" .pl)"; done >"$output.log"
  cat "$output.log"
  ok=$(count_lines '^(\[[0-9:]+\] )?ok [0-9]+' "$output.log")
  failed=$(grep -E '^not ok [0-9]+' "$output.log" | grep -vcE '# T[O]DO' || true)
  if [ "$status" -ne 0 ]; then
    if [ "$failed" -eq 0 ]; then failed=1; fi
    echo "logs of the tests' servers, last lines:"
    tail -n 25 "$output"/tmp_check/log/*.log 2>/dev/null | tail -n 200 || true
  fi
  tally "$ok" "$failed"
  if grep -nE "PANIC|TRAP: |$leaking|$sanitizing" "$output"/tmp_check/log/*.log; then
    echo "servers' logs show the lines above"
    tally 0 1
  fi
}

# suite_pgtap FILE...    Each file in a database of its own on the current server.
suite_pgtap() {
  local file name log status ok failed planned
  for file in "$@"; do
    name=$(basename "$file" .sql)
    log=$DW_WORK/pgtap-$name.log
    status=0
    {
      psql -Xq -c "CREATE DATABASE \"pgtap_$name\"" &&
        psql -Xq -d "pgtap_$name" -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pgtap; CREATE EXTENSION durable_work' &&
        timeout -k 10 600 psql -XAtq -d "pgtap_$name" -v ON_ERROR_STOP=1 -P pager=off -f "$file"
    } >"$log" 2>&1 || status=$?
    echo "# $name"
    cat "$log"
    ok=$(count_lines '^ok [0-9]+' "$log")
    failed=$(count_lines '^not ok [0-9]+' "$log")
    planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$log" | head -1)
    if [ "$failed" -eq 0 ] && { [ "$status" -ne 0 ] || [ "${planned:-0}" -ne "$ok" ]; }; then
      echo "# $name: exit status $status, planned ${planned:-nothing}, passed $ok"
      failed=1
    fi
    tally "$ok" "$failed"
  done
  check_server_log
}

# Programs of test/contract and test/drivers end with "passed N failed N"; without that line they broke off.
tally_score() {
  local log=$1 status=$2 ok failed
  read -r ok failed < <(sed -n 's/^passed \([0-9]*\) failed \([0-9]*\)$/\1 \2/p' "$log") || true
  if [ -z "${failed:-}" ]; then
    tally 0 1
    return
  fi
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  tally "$ok" "$failed"
}

# suite_torture SECONDS [SEED]    test/torture for so long; ten minutes more are far more than its end takes.
suite_torture() {
  local directory=$DW_WORK/torture log=$DW_WORK/torture.log status=0
  dw_server_directory "$DW_WORK/home"
  dw_server_directory "$directory"
  dw_as_server_user env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE PYTHONDONTWRITEBYTECODE=1 timeout -k 10 $(($1 + 600)) \
    /usr/bin/python3 "$(readable_tests)/test/torture/torture.py" --bindir "$DW_BINDIR" --directory "$(mktemp -u "$directory/XXXXXX")" \
    --seconds "$1" ${2:+--seed "$2"} >"$log" 2>&1 || status=$?
  cat "$log"
  tally_score "$log" "$status"
}
