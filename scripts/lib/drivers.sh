# The part `drivers` of scripts/test: the programs of test/drivers, directly and through a pooler that runs for them.
# Source after suites.sh.

# --- what they need -------------------------------------------------------------------------------

# A package whose service nobody asked for.
dw_install_without_service() {
  [ -z "$(dw_package_version "$1")" ] || return 0
  dw_install_packages "$1"
  if command -v systemctl >/dev/null && systemctl is-active -q "$1"; then
    dw_root systemctl disable -q --now "$1"
  elif [ -x "/etc/init.d/$1" ]; then
    dw_root "/etc/init.d/$1" stop >/dev/null 2>&1 || true
  fi
}

dw_has_node_postgres() { command -v node >/dev/null && (cd "$DW_WORK" && node -e 'require("pg")' 2>/dev/null); }

# Debian's node-postgres; on a machine whose Node.js is not Debian's, the same version from npm.
dw_install_node_postgres() {
  dw_has_node_postgres && return
  dw_apt_install nodejs node-pg >"$DW_WORK/apt.log" 2>&1 && dw_has_node_postgres && return
  if ! command -v node >/dev/null; then
    dw_apt nodejs node-pg
    return
  fi
  dw_say "installing pg with npm"
  local try
  for try in 1 2 3; do
    # A registry that does not answer would hold the tests up for ever.
    timeout 120 npm install --silent --no-audit --no-fund --no-save --prefix "$DW_WORK/node" pg@8.8.0 \
      >"$DW_WORK/npm.log" 2>&1 && break
    if [ "$try" = 3 ]; then
      cat "$DW_WORK/npm.log" >&2
      return 1
    fi
  done
  export NODE_PATH=$DW_WORK/node/node_modules
}

dw_install_drivers() {
  dw_install_without_service pgbouncer
  dw_install_node_postgres
}

# --- the pooler -----------------------------------------------------------------------------------

# pgbouncer follows prepared statements of clients from 1.21 on.
pooler_follows_statements() {
  local version
  version=$(pgbouncer --version | sed -n 's/^PgBouncer \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
  [ "${version% *}" -gt 1 ] || [ "${version#* }" -ge 21 ]
}

# In front of the current server; PGHOST and PGPORT name it afterwards.
pooler_start() {
  local directory=$DW_WORK/pooler
  dw_server_directory "$directory"
  sed "s|@server@|$PGHOST|; s|@directory@|$directory|" "$DW_TOP/test/drivers/pgbouncer.ini" >"$DW_WORK/pgbouncer.ini"
  if pooler_follows_statements; then echo "max_prepared_statements = 100" >>"$DW_WORK/pgbouncer.ini"; fi
  chmod a+r "$DW_WORK/pgbouncer.ini"
  dw_as_server_user pgbouncer -q -d "$DW_WORK/pgbouncer.ini"
  export PGHOST=$directory PGPORT=6432
  for _ in $(seq 300); do
    psql -XAtqc 'SELECT 1' >/dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$directory/log"
  return 1
}

pooler_stop() {
  dw_end_process "$DW_WORK/pooler/pid"
}

# --- the programs ---------------------------------------------------------------------------------

# run_driver NAME COMMAND...
run_driver() {
  local name=$1 log=$DW_WORK/driver.log status=0
  shift
  echo "# $name"
  timeout -k 10 300 "$@" >"$log" 2>&1 || status=$?
  cat "$log"
  tally_score "$log" "$status"
}

suite_drivers() {
  local programs=$DW_TOP/test/drivers plan=$DW_WORK/plan.json server=$PGHOST unfollowed=--no-prepare named=
  if ! "$programs/plan.py" drivers >"$plan"; then
    echo "there is no plan of the calls"
    tally 0 1
    return
  fi
  export PGDATABASE=drivers
  run_driver psql "$programs/psql.py" "$plan"
  run_driver libpq "$programs/libpq.py" "$plan"
  run_driver psycopg "$programs/psycopg_calls.py" "$plan"
  run_driver node-postgres node "$programs/node_calls.js" "$plan"
  run_driver "node-postgres, named statements" node "$programs/node_calls.js" "$plan" --named
  if pooler_follows_statements; then
    unfollowed=
    named=--named
  fi
  if pooler_start; then
    run_driver "psql through pgbouncer" "$programs/psql.py" "$plan"
    run_driver "psycopg through pgbouncer" "$programs/psycopg_calls.py" "$plan" $unfollowed
    run_driver "node-postgres through pgbouncer" node "$programs/node_calls.js" "$plan" $named
  else
    echo "the pooler did not start"
    tally 0 1
  fi
  pooler_stop
  dw_server_use "$(basename "$server")"
  check_server_log
}
