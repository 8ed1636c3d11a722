#!/usr/bin/env bash
# Prints the path of a Chromium for the tests of the panel, after installing one if need be. Prints nothing, and says so, where
# none can be had; those tests are then skipped, unless CI is set.
#
# Looks in $CHROMIUM and PATH. Installs through the distribution's package manager when root, or through Homebrew.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "chromium.sh: $*" >&2; }

look() {
  local name path
  for name in ${CHROMIUM:-} chromium chromium-browser google-chrome chrome "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
    if path="$(command -v "$name")"; then
      echo "$path"
      exit 0
    fi
  done
}

install_package() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "no Chromium here: installing the package chromium with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o Acquire::Retries=3 update -q
    apt-get -o Acquire::Retries=3 install -qy --no-install-recommends chromium
  elif [ "$(id -u)" = 0 ] && command -v apk >/dev/null; then
    say "no Chromium here: installing the package chromium with apk"
    apk add --no-cache chromium
  elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    say "no Chromium here: installing the package chromium with dnf"
    dnf install -y chromium
  elif command -v brew >/dev/null; then
    say "no Chromium here: installing chromium with brew"
    brew install --cask chromium
  else
    return 1
  fi
}

look
install_package >&2 || true
look
say "no Chromium: install one, or set CHROMIUM to its path; without one the tests of the panel are skipped"
