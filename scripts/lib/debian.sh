# What else Debian has: headers of other servers, the sources of the server. Source after common.sh.

# apt_of SUITES KIND: what apt knows of other suites or of sources, beside the machine's own lists. Then: apt_aside COMMAND...
apt_of() {
  local apt=$DW_WORK/apt site suite
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian/*$' | head -1)
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/debs
  for suite in $1; do
    echo "$2 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main"
  done >"$apt/sources.list"
  apt_aside update
}
apt_aside() {
  local apt=$DW_WORK/apt
  apt-get -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -qq "$@"
}

# Headers of the servers in trixie and sid, from the mirror that apt uses; unpacked, not installed.
fetch_headers() {
  local apt=$DW_WORK/apt major deb
  apt_of 'trixie sid' deb
  for major in 16 17 18; do
    (cd "$apt/debs" && apt_aside download "postgresql-server-dev-$major" 2>/dev/null) ||
      echo "no headers for $major in these suites"
  done
  for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$apt"; done
}

# The distribution's sources of the server, built with assertions into $DW_WORK/cassert.
build_cassert_server() (
  local apt=$DW_WORK/apt codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt_of "$codename" deb-src &&
    (cd "$apt" && apt_aside source --download-only "postgresql-$DW_MAJOR" && dpkg-source --no-check -x ./*.dsc source) &&
    mkdir "$apt/objects" && cd "$apt/objects" &&
    ../source/configure --prefix="$DW_WORK/cassert" --enable-cassert --enable-debug --enable-tap-tests --with-icu \
      --without-readline CFLAGS="-O1 -g1" &&
    make -s -j "$DW_JOBS" && make -s -j "$DW_JOBS" -C contrib && make -s install && make -s -C contrib install
)
