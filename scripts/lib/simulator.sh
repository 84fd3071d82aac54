# The part `simulator` of scripts/test: the tests of docs/simulator in Node.js, and, when asked for, the page in a browser.
# Source after suites.sh. No server is needed.

# The tests are written for Node.js 18, which Debian 12 has, and later.
dw_install_node() {
  command -v node >/dev/null || dw_install_packages nodejs
}

dw_install_chromium() {
  command -v "${CHROMIUM:-chromium}" >/dev/null || dw_install_packages chromium fonts-dejavu-core
}

# Runs test/simulator/*.test.mjs; each test counts.
simulator_logic() {
  local log=$DW_WORK/simulator.log status=0 ok failed
  timeout -k 10 600 node --test --test-reporter=tap "$DW_TOP"/test/simulator/*.test.mjs >"$log" 2>&1 || status=$?
  cat "$log"
  read -r ok failed < <(sed -n 's/^# \(pass\|fail\) \([0-9]*\)$/\2/p' "$log" | tr '\n' ' ') || true
  if [ -z "${failed:-}" ]; then
    tally 0 1
    return
  fi
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  tally "$ok" "$failed"
}

# The browser runs as the user that owns servers, who may not be able to read the checkout.
simulator_browser() {
  local place=$DW_WORK/simulator log=$DW_WORK/browser.log status=0
  dw_server_directory "$DW_WORK/home"
  dw_server_directory "$place"
  cp -r "$DW_TOP/docs/simulator" "$place/page"
  cp -r "$DW_TOP/test/simulator" "$place/test"
  chmod -R a+rX "$place/page" "$place/test"
  dw_as_server_user env PATH="$PATH" ${CHROMIUM:+CHROMIUM="$CHROMIUM"} timeout -k 10 600 \
    node "$place/test/browser.mjs" "$place/page" "$place" >"$log" 2>&1 || status=$?
  cat "$log"
  tally_score "$log" "$status"
}

suite_simulator() {
  if "$DW_TOP/scripts/simulator-figures" --check; then tally 1 0; else tally 0 1; fi
  simulator_logic
  if [ -n "${DW_BROWSER:-}" ]; then simulator_browser; fi
}
