#!/usr/bin/env bash
# Runs every fuzz target and every property of the module for FUZZTIME each (default 10s), one after the other. With
# arguments, only those of the packages named. A property is a test that calls rapid.Check; each round tries it with another
# seed, and with twice as many inputs while there is time.
set -euo pipefail
cd "$(dirname "$0")/.."

time="${FUZZTIME:-10s}"
case "$time" in
  *[!0-9smh]* | "") echo "fuzz: FUZZTIME=$time: want for example 10s, 15m or 1h" >&2; exit 2 ;;
  *h) seconds=$((${time%h} * 3600)) ;;
  *m) seconds=$((${time%m} * 60)) ;;
  *) seconds=${time%s} ;;
esac
if [ $# -eq 0 ]; then
  set -- ./...
fi
binaries=$(mktemp -d)
trap 'rm -rf "$binaries"' EXIT

# properties lists the tests of a directory that call rapid.Check.
properties() {
  compgen -G "$1/*_test.go" >/dev/null || return 0
  awk '/^func / {name = $2; sub(/\(.*/, "", name)}
       /rapid\.Check\(/ && name ~ /^Test/ {print name}' "$1"/*_test.go | sort -u
}

# try_property BINARY DIR TEST tries one for as long as there is time.
try_property() {
  local begin=$SECONDS checks=1 round took
  while :; do
    round=$SECONDS
    (cd "$2" && "$1" -test.run "^$3\$" -test.count 1 -test.timeout 10m -rapid.checks "$checks") >"$binaries/output" 2>&1 ||
      { cat "$binaries/output"; return 1; }
    took=$((SECONDS - round))
    [ $((SECONDS - begin + 2 * took)) -lt "$seconds" ] || return 0
    checks=$((checks * 2))
  done
}

# try_target PACKAGE TARGET fuzzes one. Before Go 1.27 the end of the time is sometimes reported as a failure of the target
# (golang/go#75804): then there is no input that fails.
try_target() {
  if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" >"$binaries/output" 2>&1; then
    tail -n 2 "$binaries/output"
    return 0
  fi
  cat "$binaries/output"
  grep -q '^    context deadline exceeded$' "$binaries/output" && ! grep -q 'Failing input written' "$binaries/output" || return 1
  echo "fuzz: $2: the time was over, and no input failed (golang/go#75804)"
}

count=0
while IFS=$'\t' read -r package dir; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
    echo "fuzz: $package $target for $time"
    try_target "$package" "$target"
    count=$((count + 1))
  done
  tests=$(properties "$dir")
  [ -n "$tests" ] || continue
  go test -c -o "$binaries/test" "$package"
  for test in $tests; do
    echo "fuzz: $package $test for $time"
    try_property "$binaries/test" "$dir" "$test"
    count=$((count + 1))
  done
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$@")
[ "$count" -gt 0 ] || { echo "fuzz: neither a target nor a property in $*" >&2; exit 1; }
echo "fuzz: $count targets and properties, no failure"
