# The program of test/sim. Source after common.sh.

simulation=
# Sets `simulation` to the program. build_simulation [CMAKE_DIRECTORY]
build_simulation() {
  local directory=${1:-$DW_WORK/cmake}
  if [ $# -eq 0 ] && [ -n "${DW_BUILD_DIR:-}" ]; then directory=$DW_BUILD_DIR/cmake; fi
  if [ ! -f "$directory/configured" ]; then cmake -S "$DW_TOP" -B "$directory" && touch "$directory/configured"; fi
  cmake --build "$directory" -j "$DW_JOBS" --target sim && simulation=$directory/sim
}

# The same seeds twice, in different processes: the same line both times.
check_replay() {
  local once again
  once=$("$simulation" --seed 1 --steps 100000 --jobs 1) && again=$("$simulation" --seed 1 --steps 100000 --jobs 2) || return 1
  [ "$once" = "$again" ] && return
  printf 'two runs of the same seeds differ:\n%s\n%s\n' "$once" "$again"
  return 1
}
