#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME each (default 10s), one after the other. With arguments, only those of
# the packages named.
set -euo pipefail
cd "$(dirname "$0")/.."

time="${FUZZTIME:-10s}"
if [ $# -eq 0 ]; then
  set -- ./...
fi
count=0
while IFS=$'\t' read -r package dir; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
    echo "fuzz: $package $target for $time"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
    count=$((count + 1))
  done
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$@")
echo "fuzz: $count targets, no failure"
