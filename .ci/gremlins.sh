#!/usr/bin/env bash
# Turns every comparison, sign and operator of pure packages with gremlins, and prints which of
# them their tests miss. Its arguments are packages; without any, the pure ones. Not every change
# that it makes breaks a promise, so this is for reading; integration/mutants is the gate.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="$PWD/.cache/bin/gremlins"
mkdir -p "$(dirname "$bin")"
(cd .ci/gremlins && go build -mod=readonly -buildvcs=false -o "$bin" github.com/go-gremlins/gremlins/cmd/gremlins)
if [ $# -eq 0 ]; then
  set -- ./relay/internal/retry ./relay/internal/route ./relay/internal/seal ./relay/signature
fi
for package in "$@"; do
  echo "gremlins: $package"
  "$bin" unleash "$package" --timeout-coefficient 20
done
