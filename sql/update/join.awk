# Makes an update script: prints the file with the changes, and in the place of
#
#   -- include FILE              a file of sql/
#   -- include FILE: SECTION     its part under the heading "-- SECTION ------", up to the next heading
#
# what stands there, with CREATE OR REPLACE for functions, procedures, views and triggers.
#
# usage: awk -v directory=sql -v version=VERSION -f sql/update/join.awk sql/update/FROM--TO.sql
#
# Only the script to VERSION, the one that the install script makes, may include: an older one must stay what it was
# (./scripts/freeze).

function fail(text) {
  print FILENAME ":" FNR ": " text > "/dev/stderr"
  failed = 1
  exit 1
}

function heading(line) { return line ~ /^-- .* ----------+$/ }

function include(file, section,    path, line, status, wanted, found) {
  path = directory "/" file
  wanted = section == ""
  while ((status = (getline line < path)) > 0) {
    if (section != "" && heading(line)) wanted = index(line, "-- " section " ---") == 1
    if (!wanted) continue
    found = 1
    if (line ~ /^ *CREATE (FUNCTION|PROCEDURE|VIEW|TRIGGER) /) sub(/CREATE /, "CREATE OR REPLACE ", line)
    print line
  }
  close(path)
  if (status < 0) fail("cannot read " path)
  if (!found) fail("there is no \"" section "\" in " path)
}

/^-- include / {
  if (FILENAME !~ ("--" version "\\.sql$")) fail("only the script to version " version " may include")
  what = substr($0, 12)
  colon = index(what, ": ")
  if (colon) include(substr(what, 1, colon - 1), substr(what, colon + 2))
  else include(what, "")
  next
}

{ print }

END { exit failed }
