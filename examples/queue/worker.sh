#!/usr/bin/env bash
# A worker in bash: sends the mail of the queue `mail` until it gets SIGTERM.
#
#     PGDATABASE=queue_example ./worker.sh
#
# One psql call for each step, so it is slow and easy to read. What matters is the same in every language: claim in a
# transaction of its own; work and complete in one; drop a job whose lease is stale.
set -uo pipefail

queue=mail
worker=bash-$HOSTNAME-$$
stopping=false
trap 'stopping=true' TERM INT

sql() { psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -v worker="$worker" "$@"; }

handle() { # JOB_ID LEASE_TOKEN PAYLOAD
  # The effect of this example is a row. It commits together with the completion, or not at all.
  sql -v job_id="$1" -v lease_token="$2" -v payload="$3" <<'SQL'
BEGIN;
INSERT INTO sent VALUES (:'payload'::jsonb ->> 'to', :job_id, :'worker');
\o /dev/null
SELECT durable_work.complete(job_id => :job_id, lease_token => :lease_token);
COMMIT;
SQL
}

handle_or_fail() { # JOB_ID LEASE_TOKEN PAYLOAD
  local errors
  if errors=$(handle "$@" 2>&1); then return; fi
  case $errors in
    *DW001:*) echo "job $1: no longer ours" >&2 ;;
    *)
      echo "job $1: $errors" >&2
      # Rolled back. Say so in a transaction of its own; if that fails as well, the lease runs out.
      sql -v job_id="$1" -v lease_token="$2" -v error="$errors" >/dev/null <<'SQL' || true
SELECT durable_work.fail(job_id => :job_id, lease_token => :lease_token, error => to_jsonb(:'error'::text));
SQL
      ;;
  esac
}

while ! $stopping; do
  # Sleeps in the server; a signal is handled when it returns, so the timeout is short.
  if ! sql -v queue="$queue" <<<"CALL durable_work.wait_for_work(ARRAY[:'queue'], '2 s');"; then
    sleep 1 # no server: try again
    continue
  fi
  # One job, its fields apart by the unit separator. Tokens stay text: they are too large for many other things.
  if job=$(sql -F $'\x1f' -v queue="$queue" <<<"
      SELECT job_id, lease_token, payload FROM durable_work.claim(:'queue', worker => :'worker', max_jobs => 1);") &&
    [ -n "$job" ]; then
    IFS=$'\x1f' read -r job_id lease_token payload <<<"$job"
    handle_or_fail "$job_id" "$lease_token" "$payload"
  fi
done
