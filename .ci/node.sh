#!/usr/bin/env bash
# Makes the receivers' verifiers in integration/receivers ready: installs Node.js if it is missing, then what their
# package-lock.json names. Does nothing where that folder has none, or where it is ready already.
set -euo pipefail
cd "$(dirname "$0")/.."

receivers=integration/receivers

say() { echo "node.sh: $*" >&2; }

install_node() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "no Node.js here: installing the packages nodejs and npm with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o Acquire::Retries=3 update -q
    apt-get -o Acquire::Retries=3 install -qy --no-install-recommends nodejs npm
  elif [ "$(id -u)" = 0 ] && command -v apk >/dev/null; then
    say "no Node.js here: installing the packages nodejs and npm with apk"
    apk add --no-cache nodejs npm
  elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    say "no Node.js here: installing the packages nodejs and npm with dnf"
    dnf install -y nodejs npm
  elif command -v brew >/dev/null; then
    say "no Node.js here: installing node with brew"
    brew install node
  else
    say "the verifiers in $receivers need Node.js and npm: install them, version 20 or later"
    exit 1
  fi
}

if [ ! -f "$receivers/package-lock.json" ]; then
  exit 0
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  install_node >&2
fi
# npm leaves a copy of the lock beside what it installed; ours is newer where something changed since.
installed="$receivers/node_modules/.package-lock.json"
if [ ! -f "$installed" ] || [ "$receivers/package-lock.json" -nt "$installed" ]; then
  say "installing what $receivers/package-lock.json names"
  npm ci --prefix "$receivers" --no-audit --no-fund --ignore-scripts >&2
fi
