#!/usr/bin/env bash
# Makes the receivers' verifiers in integration/receivers ready: Node.js 20 or later, and what their package-lock.json names.
# Prints a directory to put in front of PATH, which is empty where the node in PATH is good. Does nothing where there are no
# verifiers.
#
# Node.js and npm come from the distribution's package manager when root, or from Homebrew. Where that Node.js is too old, a
# newer one is unpacked from the npm registry into .cache, which changes nothing outside of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

receivers=integration/receivers
least=20
newer=22.23.3

say() { echo "node.sh: $*" >&2; }

# good tells whether a node is there and new enough.
good() {
  local version
  version="$("$1" --version 2>/dev/null)" || return 1
  version="${version#v}"
  [ "${version%%.*}" -ge "$least" ]
}

install_packages() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "no Node.js or npm here: installing the packages nodejs and npm with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o Acquire::Retries=3 update -q
    apt-get -o Acquire::Retries=3 install -qy --no-install-recommends nodejs npm
  elif [ "$(id -u)" = 0 ] && command -v apk >/dev/null; then
    say "no Node.js or npm here: installing the packages nodejs and npm with apk"
    apk add --no-cache nodejs npm
  elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    say "no Node.js or npm here: installing the packages nodejs and npm with dnf"
    dnf install -y nodejs npm
  elif command -v brew >/dev/null; then
    say "no Node.js or npm here: installing node with brew"
    brew install node
  else
    say "the verifiers in $receivers need Node.js $least or later, and npm: install them"
    exit 1
  fi
}

# unpack_newer puts the binary of npm's package node-PLATFORM into .cache. Of the package nothing else is run.
unpack_newer() {
  local platform
  case "$(uname -s)/$(uname -m)" in
    Linux/x86_64) platform=linux-x64 ;;
    Linux/aarch64) platform=linux-arm64 ;;
    *) say "this Node.js is older than $least: install a later one"; exit 1 ;;
  esac
  say "this Node.js is older than $least: unpacking npm's node-$platform@$newer into .cache/node-$newer"
  mkdir -p ".cache/node-$newer"
  (
    cd ".cache/node-$newer"
    tarball="$(npm pack --silent "node-$platform@$newer")"
    tar --strip-components=1 -xzf "$tarball" package/bin/node
    rm "$tarball"
  )
}

if [ ! -f "$receivers/package-lock.json" ]; then
  exit 0
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  install_packages >&2
fi
if ! good node; then
  dir="$PWD/.cache/node-$newer/bin"
  good "$dir/node" || unpack_newer >&2
  good "$dir/node" || { say "$dir/node does not run here: install Node.js $least or later"; exit 1; }
  echo "$dir"
  export PATH="$dir:$PATH"
fi
# npm leaves a copy of the lock beside what it installed; ours is newer where something changed since.
for project in "$receivers" examples/node-receiver; do
  installed="$project/node_modules/.package-lock.json"
  if [ ! -f "$installed" ] || [ "$project/package-lock.json" -nt "$installed" ]; then
    say "installing what $project/package-lock.json names"
    npm ci --prefix "$project" --no-audit --no-fund --ignore-scripts >&2
  fi
done
