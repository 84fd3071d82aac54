# Checks the models of test/model with spin; for scripts/model, scripts/test and scripts/soak. Source after suites.sh.
#
# The head of a model says what is run, one a line:
#
#   correct SIZE FLAGS              must be searched to its end without an error
#   broken VARIANT PROPERTY FLAGS   compiled with -DBROKEN_VARIANT it must violate that property, and no other before it
#
# FLAGS choose sizes and parts. SIZE is small or large. A property is a name that `must` is given, or `deadlock`, or `cycle` of a model with an LTL
# formula. A statement that no correct run of a size reaches is an error, too, unless its line says `never`: nothing would be
# known of it. So is a variant that the head does not name.

dw_install_spin() {
  if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then dw_install_packages spin gcc; fi
}

model_names() { basename -s .pml -a "$DW_TOP"/test/model/*.pml; }

# The lines of a model's head, fields separated by one blank.
model_lines() { sed -nE '1,/\*\//s/^ \*   (correct|broken) +/\1 /p' "$DW_TOP/test/model/$1.pml" | tr -s ' '; }

# Variants that the text has and the head has not, or the other way round.
model_strays() {
  diff <(grep -oE '\bBROKEN_[A-Z_]+' "$DW_TOP/test/model/$1.pml" | sort -u) \
    <(model_lines "$1" | sed -nE 's/^broken ([A-Z_]+) .*/BROKEN_\1/p' | sort -u)
}

# Options that begin with an `if` of their own: spin makes its branches branches of the outer one, and its `else` is never
# taken. `true ->` in front of it is what was meant.
model_pitfalls() {
  awk '/::( *(atomic|d_step) *\{)?( *\/\*.*\*\/)? *$/ { option = $0; next }
    option != "" && /^ *if$/ { print FILENAME ":" FNR ": an option begins with if" }
    !/^#/ { option = "" }' "$DW_TOP/test/model/$1.pml"
}

# From `pan -d` and the report: lines with a statement, to standard error, and lines of which one is reached. An inline has
# its lines many times.
reached_lines='
  BEGIN {
    while ((getline line < report) > 0) {
      if (line ~ /^unreached in /) { name = line; sub(/^unreached in (proctype )?/, "", name) }
      else if (name != "" && match(line, /, state [0-9]+,/)) missed[name, substr(line, RSTART + 8, RLENGTH - 9)]
    }
  }
  $1 == "proctype" { name = $2 }
  $1 == "init" || $1 == "claim" { name = $1 }
  $1 == "state" && match($0, /\.pml:[0-9]+ =>/) && !/=> -end-$/ {
    line = substr($0, RSTART + 5, RLENGTH - 8)
    print line > "/dev/stderr"
    if (!((name, $2) in missed)) print line
  }'

# run_model DIRECTORY MODEL FLAG...   Leaves there pan's `report`, and `seconds`.
run_model() {
  local directory=$1 source=$DW_TOP/test/model/$2.pml started=$SECONDS
  local compile=(-w "-DMEMLIM=$DW_MODEL_MEGABYTES") search=(-m2000000)
  shift 2
  # Broken variants are through before an optimiser would be.
  case ${1:-} in
    -DBROKEN_*) search=(-m200000 -w20) ;;
    *) compile+=(-O1) ;;
  esac
  if grep -q '^ltl ' "$source"; then search+=(-a -f); else compile+=(-DSAFETY); fi
  mkdir -p "$directory"
  (
    cd "$directory" || exit
    spin "$@" -a "$source" && gcc "${compile[@]}" -o pan pan.c || exit
    ./pan "${search[@]}" >report
    ./pan -d | awk -v "report=$PWD/report" "$reached_lines" >reached 2>statements
  ) >"$directory/log" 2>&1
  echo $((SECONDS - started)) >"$directory/seconds"
}

# What a report says: `no error`, the property that is violated, or why it says nothing.
model_verdict() {
  local report=$1/report
  if ! [ -s "$report" ]; then
    echo "it does not compile"
  elif grep -qE 'max search depth too small|out of memory|memory limit|reached -DMEMLIM' "$report"; then
    echo "the search was cut off"
  elif grep -q '^pan:1: assertion violated' "$report"; then
    sed -nE '/^pan:1:/{s/.*\|\|([a-z_]+)\) \(at depth.*/\1/; s/^pan:1: //; p}' "$report"
  elif grep -q '^pan:1: invalid end state' "$report"; then
    echo deadlock
  elif grep -qE '^pan:1: (acceptance|non-progress) cycle' "$report"; then
    echo cycle
  elif grep -q 'errors: 0$' "$report" && ! grep -q 'Search not completed' "$report"; then
    echo "no error"
  else
    echo "pan gives no answer"
  fi
}

# tell_model DIRECTORY MODEL EXPECTED TITLE: a line about one run, and its tally.
tell_model() {
  local verdict states
  verdict=$(model_verdict "$1")
  states=$(sed -nE 's/ +([0-9.e+]+) states, stored.*/\1/p' "$1/report" 2>/dev/null || true)
  if [ "$verdict" = "$3" ]; then
    echo "ok      $2 $4: $verdict ($states states, $(cat "$1/seconds") s)"
    tally 1 0
  else
    echo "FAILED  $2 $4: $verdict; expected: $3"
    if [ "$verdict" = "it does not compile" ]; then cat "$1/log"; fi
    tally 0 1
  fi
}

# tell_unreached MODEL DIRECTORY...   Statements that no correct run reaches.
tell_unreached() {
  local model=$1 line unreached
  shift
  unreached=$(comm -23 <(sort -u "${@/%//statements}") <(sort -u "${@/%//reached}") | sort -n |
    while read -r line; do
      sed -n "${line}{/\bnever\b/!s|^|$model.pml:$line: |p}" "$DW_TOP/test/model/$model.pml"
    done)
  if [ -z "$unreached" ]; then
    tally 1 0
  else
    printf '%s\n' "FAILED  $model: no correct run reaches these statements" "$unreached"
    tally 0 1
  fi
}

# The runs that a size and a name stand for: KIND|EXPECTED|TITLE|FLAGS
model_runs() {
  local size=$1 model=${2%%/*} variant='' kind what rest
  if [ "$model" != "$2" ]; then variant=${2#*/}; fi
  while read -r kind what rest; do
    if [ "$kind" = correct ] && [ "$what" = "$size" ] && [ -z "$variant" ]; then
      echo "correct|no error|${rest:-as it is}|$rest"
    elif [ "$kind" = broken ] && [ "$size" = small ] && [ "$what" = "${variant:-$what}" ]; then
      echo "broken|${rest%% *}|BROKEN_$what|-DBROKEN_$what ${rest#"${rest%% *}"}"
    fi
  done < <(model_lines "$model")
}

# suite_model SIZE [NAME...]   NAME: a model, or MODEL/VARIANT for one broken variant.
suite_model() {
  local size=$1 names name model of kind expected title flags run correct n=0 at_once=$DW_JOBS
  shift
  names=("$@")
  if [ ${#names[@]} -eq 0 ]; then mapfile -t names < <(model_names); fi
  DW_MODEL_MEGABYTES=$((3500 / DW_JOBS))
  if [ "$size" = large ]; then
    # One may take all the memory there is.
    at_once=1
    DW_MODEL_MEGABYTES=$(awk '/^MemAvailable/ { print int($2 / 1024 * 3 / 4) }' /proc/meminfo)
  fi
  for name in "${names[@]}"; do
    while IFS='|' read -r kind expected title flags; do
      n=$((n + 1))
      mkdir -p "$DW_WORK/model/$n"
      echo "$name|$kind|$expected|$title" >"$DW_WORK/model/$n/run"
      while [ "$(jobs -pr | wc -l)" -ge "$at_once" ]; do wait -n || true; done
      # shellcheck disable=SC2086
      run_model "$DW_WORK/model/$n" "${name%%/*}" $flags &
    done < <(model_runs "$size" "$name")
  done
  wait
  for name in "${names[@]}"; do
    model=${name%%/*}
    correct=()
    for run in $(seq "$n"); do
      IFS='|' read -r of kind expected title <"$DW_WORK/model/$run/run"
      [ "$of" = "$name" ] || continue
      tell_model "$DW_WORK/model/$run" "$model" "$expected" "$title"
      if [ "$kind" = correct ] && [ -e "$DW_WORK/model/$run/reached" ]; then correct+=("$DW_WORK/model/$run"); fi
    done
    if [ ${#correct[@]} -gt 0 ]; then tell_unreached "$model" "${correct[@]}"; fi
    if ! model_strays "$model" || model_pitfalls "$model" | grep .; then
      echo "FAILED  $model: the variants above are not those of its head, or see model_pitfalls"
      tally 0 1
    fi
  done
}

# show_model MODEL/VARIANT: its counterexample, as short as there is one.
show_model() {
  local source=$DW_TOP/test/model/${1%%/*}.pml place=$DW_WORK/model/shown kind expected title flags
  local compile=(-w) search=(-m10000)
  IFS='|' read -r kind expected title flags < <(model_runs small "$1") || dw_die "there is no variant '$1'"
  if grep -q '^ltl ' "$source"; then search+=(-a -f); else compile+=(-DSAFETY -DREACH) search+=(-i); fi
  mkdir -p "$place"
  cd "$place" || return
  # shellcheck disable=SC2086
  spin $flags -a "$source" >/dev/null
  gcc "${compile[@]}" -o pan pan.c
  ./pan "${search[@]}" >report
  # shellcheck disable=SC2086
  spin $flags -k ./*.trail -p -g "$source"
  echo "$1 violates: $(model_verdict .)"
}
