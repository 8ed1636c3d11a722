#!/usr/bin/env bash
# Runs golangci-lint of the version in .ci/tools/go.mod; its arguments are golangci-lint's, default `run`.
# The linter is its own module, so that the product's go.mod stays small; the first build takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="$PWD/.cache/bin/golangci-lint"
mkdir -p "$(dirname "$bin")"
# Go's build cache makes this nothing where nothing changed.
(cd .ci/tools && go build -mod=readonly -buildvcs=false -o "$bin" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
if [ $# -eq 0 ]; then
  set -- run
fi
exec "$bin" "$@"
