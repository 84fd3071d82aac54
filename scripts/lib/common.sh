# Shared by scripts/demo, scripts/test, scripts/soak and bench: packages, build,
# throw-away servers. Source it from bash; it sets -euo pipefail and an EXIT trap.
#
# Nothing outside one temporary directory is touched, except that missing Debian
# packages are installed. The server that runs is a private copy: the installed
# server's programs are copied and its libraries linked into the temporary
# directory, and the extension is installed there. So no root is needed to
# install, an installed cluster is never seen, and runs do not disturb each other.
#
#   dw_install_packages PKG...        only what is missing; apt-get, with sudo if not root
#   dw_build [test]                   build and install into the private server; `test` has test points
#   dw_server_start NAME ["line"...]  new data directory, extra postgresql.conf lines, socket only
#   dw_standby_start NAME             a standby of the current server, which stays the current one
#   dw_server_stop [mode]             fast (default), smart or immediate
#   dw_server_restart [mode]          stop and start the same data directory
#   dw_server_use NAME                make another running server the current one
#   dw_as_server_user CMD...          run as the user that owns the servers (never root)
#   dw_say TEXT / dw_die TEXT
#
# Exported for the current server: PGHOST PGPORT PGUSER PGDATABASE DW_DATA DW_LOG.
# Also set: DW_TOP (checkout), DW_WORK (temporary directory), DW_MAJOR, DW_PG_CONFIG
# and DW_BINDIR (of the private server), PATH (DW_BINDIR first).
#
# Environment
#   PG_CONFIG=path    use this server (any place, PostgreSQL 15 to 18) instead of Debian's
#   DW_BUILD_DIR=dir  keep objects there between runs
#   DW_KEEP=1         keep the temporary directory
#   DW_JOBS=n         parallel compilers (default: processors)
#   DW_SANITIZE=address   build with AddressSanitizer and UndefinedBehaviorSanitizer; what they find is in the servers' logs
#   DW_COVERAGE=1     build so that the lines that run are counted, in *.gcda files beside the objects

set -euo pipefail

# Where no language is set, databases would be SQL_ASCII, and clients would get bytes for text.
[ -n "${LC_ALL:-}${LC_CTYPE:-}${LANG:-}" ] || export LANG=C.UTF-8

DW_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
DW_JOBS=${DW_JOBS:-$(nproc)}
DW_OWNER_PID=$BASHPID

dw_say() { printf '%s\n' "== $*" >&2; }
dw_die() {
  printf '%s\n' "error: $*" >&2
  exit 1
}

# --- packages -------------------------------------------------------------------------------------

dw_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    dw_die "this needs root: $* (run as root, or install sudo)"
  fi
}

# Version of an installed package; empty if it is not installed.
dw_package_version() {
  { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null || true; } | sed -n 's/^installed //p'
}

dw_apt_install() {
  dw_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"
}

# Installs; with fresh package lists when the known ones do not serve.
dw_apt() {
  local log=$DW_WORK/apt.log
  dw_apt_install "$@" >"$log" 2>&1 && return
  dw_root apt-get update -qq >>"$log" 2>&1 || true
  dw_apt_install "$@" >>"$log" 2>&1 && return
  cat "$log" >&2
  dw_die "could not install: $*"
}

# Major release of the server: PG_CONFIG's, else the newest installed, else the distribution's.
dw_find_major() {
  local major
  if [ -n "${PG_CONFIG:-}" ]; then
    "$PG_CONFIG" --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
    return
  fi
  for major in 18 17 16 15; do
    if [ -x "/usr/lib/postgresql/$major/bin/postgres" ]; then
      echo "$major"
      return
    fi
  done
  command -v apt-cache >/dev/null || dw_die "no server found; set PG_CONFIG"
  major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -1)
  if [ -z "$major" ]; then
    dw_root apt-get update -qq >/dev/null 2>&1 || true
    major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -1)
  fi
  echo "$major"
}

# Server and headers must be of the same minor release. Packages of a server that
# is already there are upgraded only if its own headers are not to be had.
dw_install_server_packages() {
  local server=postgresql-$DW_MAJOR headers=postgresql-server-dev-$DW_MAJOR client=postgresql-client-$DW_MAJOR
  local have_server have_headers conf=/etc/postgresql-common/createcluster.d/durable_work.conf
  have_server=$(dw_package_version "$server")
  have_headers=$(dw_package_version "$headers")
  if [ -n "$have_server" ] && [ "$have_server" = "$have_headers" ]; then return; fi

  if [ -n "$have_server" ]; then
    dw_say "installing $headers"
    if dw_apt_install "$headers=$have_server" >"$DW_WORK/apt.log" 2>&1; then return; fi
    dw_apt "$server" "$client" "$headers"
    return
  fi

  dw_say "installing $server and $headers"
  dw_apt postgresql-common
  # A fresh server package makes a cluster `main` and starts it; nobody asked for one.
  dw_root mkdir -p "$(dirname "$conf")"
  echo 'create_main_cluster = false' | dw_root tee "$conf" >/dev/null
  DW_CLUSTER_CONF=$conf
  dw_apt "$server" "$client" "$headers"
  dw_root rm -f "$conf"
  DW_CLUSTER_CONF=
}

dw_install_packages() {
  local package missing=()
  command -v dpkg-query >/dev/null || {
    dw_say "not a Debian system; these are expected to be there: $*"
    return
  }
  if [ -z "${PG_CONFIG:-}" ]; then dw_install_server_packages; fi
  for package in "$@"; do
    if [ -z "$(dw_package_version "$package")" ]; then missing+=("$package"); fi
  done
  if [ ${#missing[@]} -gt 0 ]; then
    dw_say "installing ${missing[*]}"
    dw_apt "${missing[@]}"
  fi
}

# What building the extension needs.
DW_BUILD_PACKAGES=(g++ make libfmt-dev libboost-dev)

# --- users and directories ------------------------------------------------------------------------

# The server refuses to run as root.
dw_server_user() {
  if [ "$(id -u)" -ne 0 ]; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

dw_as_server_user() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && exec runuser -u "$(dw_server_user)" -- env HOME="$DW_WORK/home" "$@")
  else
    (cd / && exec env HOME="$DW_WORK/home" "$@")
  fi
}

# A directory that belongs to the server's user.
dw_server_directory() {
  mkdir -p "$1"
  if [ "$(id -u)" -eq 0 ]; then chown "$(dw_server_user)" "$1"; fi
}

# --- cleaning up ----------------------------------------------------------------------------------

# Ends the process of a PID file, which must be gone when this returns.
dw_end_process() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
}

dw_cleanup() {
  local status=$? pid file
  [ "$BASHPID" = "$DW_OWNER_PID" ] || return "$status"
  trap - EXIT
  set +e
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null; done
  # Subshells start servers too, and what else runs in a directory of its own with its PID in a file.
  for file in "$DW_WORK"/*/pid; do dw_end_process "$file"; done
  for file in "$DW_WORK"/*/data/postmaster.pid; do
    pid=$(head -1 "$file" 2>/dev/null)
    [ -n "$pid" ] || continue
    dw_as_server_user "$DW_BINDIR/pg_ctl" -D "${file%/*}" -m immediate -w -t 30 stop >/dev/null 2>&1 ||
      kill -9 "$pid" 2>/dev/null
  done
  wait 2>/dev/null
  if [ -n "${DW_CLUSTER_CONF:-}" ]; then dw_root rm -f "$DW_CLUSTER_CONF"; fi
  if mountpoint -q "$DW_WORK/small_disk"; then umount -l "$DW_WORK/small_disk"; fi
  if [ -n "${DW_KEEP:-}" ]; then
    dw_say "kept: $DW_WORK"
  else
    rm -rf "$DW_WORK"
  fi
  exit "$status"
}

# --- build ----------------------------------------------------------------------------------------

# A copy of the installed server that finds its files by its own place: programs
# are copied (they look up their real path), the rest is linked.
dw_private_server() {
  local root=$1 original=$2 name path
  local bindir pkglibdir sharedir
  bindir=$("$original" --bindir)
  pkglibdir=$("$original" --pkglibdir)
  sharedir=$("$original" --sharedir)
  mkdir -p "$root$bindir" "$root$pkglibdir" "$root$sharedir/extension"
  for path in "$bindir"/*; do
    [ -f "$path" ] && cp -L "$path" "$root$bindir/"
  done
  for path in "$pkglibdir"/*; do ln -sfn "$path" "$root$pkglibdir/${path##*/}"; done
  for path in "$sharedir"/* "$sharedir"/extension/*; do
    name=${path#"$sharedir"/}
    [ "$name" = extension ] || ln -sfn "$path" "$root$sharedir/$name"
  done
  for name in --includedir --includedir-server --pkgincludedir --libdir; do
    path=$("$original" "$name")
    [ -e "$root$path" ] && continue
    mkdir -p "$root$(dirname "$path")"
    ln -sfn "$path" "$root$path"
  done
  rm -f "$root$pkglibdir/durable_work.so" "$root$sharedir"/extension/durable_work*
  if [ -n "${DW_SANITIZE:-}" ]; then dw_sanitized_server "$root$bindir"; fi
}

# The server is as it was built; the libraries of the sanitizers must be in the process before everything else, and
# have begun before everything else: libgpg-error calls gettext when it is loaded, the first malloc in there would make
# AddressSanitizer begin, which calls gettext itself and leaves its lock broken.
dw_sanitized_server() {
  mv "$1/postgres" "$1/postgres.plain"
  echo 'void *malloc(unsigned long); __attribute__((constructor)) static void begin(void) { void *volatile p = malloc(1); (void)p; }' |
    gcc -fno-builtin -shared -fPIC -Wl,-z,initfirst -x c - -o "$1/begin_first.so"
  cat >"$1/postgres" <<EOF
#!/bin/sh
exec env LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $1/begin_first.so" \\
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=4 UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1 "$1/postgres.plain" "\$@"
EOF
  chmod 755 "$1/postgres"
}

# dw_build        release objects; this is what ships and what the lints look at
# dw_build test   the same with pause and fail points
# Afterwards DW_BINDIR, DW_PG_CONFIG and PATH name the private server that has it,
# and DW_OBJECTS the directory of the objects. Most sources know nothing of the points: where ccache is there, it
# compiles those once for both.
dw_build() {
  local kind=${1:-release} original points= variables=()
  original=${DW_ORIGINAL_PG_CONFIG:-${PG_CONFIG:-/usr/lib/postgresql/$DW_MAJOR/bin/pg_config}}
  DW_ORIGINAL_PG_CONFIG=$original
  [ -x "$original" ] || original=$(command -v "$original") || dw_die "no pg_config for PostgreSQL $DW_MAJOR"
  if [ "$kind" = test ]; then points=1; fi
  if command -v ccache >/dev/null; then variables=(CC="ccache gcc" CXX="ccache g++"); fi
  variables+=(DW_TEST_POINTS="$points" DW_SANITIZE="${DW_SANITIZE:-}" DW_COVERAGE="${DW_COVERAGE:-}")

  local root=$DW_WORK/server-$kind
  [ -d "$root" ] || dw_private_server "$root" "$original"
  DW_BINDIR=$root$("$original" --bindir)
  DW_PG_CONFIG=$DW_BINDIR/pg_config
  DW_OBJECTS=${DW_BUILD_DIR:-$DW_WORK/build}/$kind
  export DW_BINDIR DW_PG_CONFIG PATH="$DW_BINDIR:$DW_PLAIN_PATH"

  mkdir -p "$DW_OBJECTS"
  (
    cd "$DW_OBJECTS" || exit
    # Not the cache of who runs this; and the two builds are in different directories.
    export CCACHE_DIR=${DW_BUILD_DIR:-$DW_WORK/build}/ccache CCACHE_NOHASHDIR=1
    # Headers from the original place: the same flags, and objects that can be kept.
    make -s -j"$DW_JOBS" -f "$DW_TOP/Makefile" PG_CONFIG="$original" "${variables[@]}" all &&
      make -s -f "$DW_TOP/Makefile" PG_CONFIG="$original" "${variables[@]}" \
        bindir="$DW_BINDIR" pkglibdir="$root$("$original" --pkglibdir)" \
        datadir="$root$("$original" --sharedir)" install
  ) >"$DW_WORK/build-$kind.log" 2>&1 || {
    cat "$DW_WORK/build-$kind.log" >&2
    return 1
  }
  # Servers count into files beside the objects.
  if [ -n "${DW_COVERAGE:-}" ]; then chmod -R a+rwX "$DW_OBJECTS"; fi
}

# --- servers --------------------------------------------------------------------------------------

# One initdb a run; every server starts from a copy. Who starts servers side by side calls it before.
dw_template() {
  local template=$DW_WORK/template/cluster
  [ ! -d "$template" ] || return 0
  dw_server_directory "$DW_WORK/home"
  dw_server_directory "$DW_WORK/template"
  dw_as_server_user "$DW_BINDIR/initdb" -D "$template" --no-sync -U postgres -A trust \
    -E UTF8 --locale=C.UTF-8 >"$DW_WORK/initdb.log" 2>&1 || {
    cat "$DW_WORK/initdb.log" >&2
    dw_die "initdb failed"
  }
}

dw_fresh_data() {
  dw_template
  dw_as_server_user cp -r "$DW_WORK/template/cluster" "$1"
}

dw_server_launch() {
  dw_as_server_user "$DW_BINDIR/pg_ctl" -D "$DW_DATA" -l "$DW_LOG" -w -t 120 start >/dev/null || {
    tail -30 "$DW_LOG" >&2
    return 1
  }
}

dw_server_use() {
  export PGHOST=$DW_WORK/$1 PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  export DW_DATA=$PGHOST/data DW_LOG=$PGHOST/server.log
}

dw_server_start() {
  local name=$1 line
  shift
  dw_server_use "$name"
  [ ! -e "$PGHOST" ] || dw_die "there is already a server $name"
  dw_server_directory "$PGHOST"
  dw_fresh_data "$DW_DATA"
  {
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$PGHOST'"
    echo "shared_preload_libraries = 'durable_work'"
    echo "max_connections = 200"
    echo "timezone = 'UTC'"
    echo "log_line_prefix = '%m [%p] %b %a: '"
    for line in "$@"; do echo "$line"; done
  } | dw_as_server_user tee -a "$DW_DATA/postgresql.conf" >/dev/null
  dw_server_launch
}

# Its socket is in $DW_WORK/NAME.
dw_standby_start() {
  local name=$1 primary
  primary=$(basename "$PGHOST")
  dw_server_directory "$DW_WORK/$name"
  dw_as_server_user "$DW_BINDIR/pg_basebackup" -D "$DW_WORK/$name/data" -R -X stream -c fast --no-sync || return
  dw_server_use "$name"
  echo "unix_socket_directories = '$PGHOST'" | dw_as_server_user tee -a "$DW_DATA/postgresql.conf" >/dev/null
  local status=0
  dw_server_launch || status=$?
  dw_server_use "$primary"
  return "$status"
}

dw_server_stop() {
  dw_as_server_user "$DW_BINDIR/pg_ctl" -D "$DW_DATA" -m "${1:-fast}" -w -t 120 stop >/dev/null
}

dw_server_restart() {
  dw_server_stop "${1:-fast}"
  dw_server_launch
}

# --- set up ---------------------------------------------------------------------------------------

DW_WORK=$(mktemp -d "${TMPDIR:-/tmp}/durable_work.XXXXXX")
chmod 755 "$DW_WORK"
DW_PLAIN_PATH=$PATH
DW_CLUSTER_CONF=
trap dw_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
DW_MAJOR=$(dw_find_major)
case $DW_MAJOR in
  15 | 16 | 17 | 18) ;;
  *) dw_die "durable_work needs PostgreSQL 15 to 18, found '${DW_MAJOR}'" ;;
esac
# Set once the packages are there, for callers that build nothing.
DW_BINDIR=/usr/lib/postgresql/$DW_MAJOR/bin
if [ -n "${PG_CONFIG:-}" ]; then DW_BINDIR=$("$PG_CONFIG" --bindir); fi
export DW_TOP DW_WORK DW_MAJOR PSQLRC=/dev/null PGSSLMODE=disable
unset PGSERVICE PGPASSFILE PGOPTIONS PGHOSTADDR 2>/dev/null || true
