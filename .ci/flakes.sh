#!/usr/bin/env bash
# Looks for tests that fail now and then: runs those of each package COUNT times (default 100), those that took a second or
# more SLOW times (default 20), with the race detector, in random order, beside a neighbour that wants a processor for itself.
# Goes on after a failure, and exits with 1 if there was one. With arguments, only the packages named; PIECE=2/5 takes the
# second fifth of the packages, so that a night's work can be done in parts.
set -euo pipefail
cd "$(dirname "$0")/.."

many="${COUNT:-100}" few="${SLOW:-20}" piece="${PIECE:-1/1}"
for n in "$many" "$few" "${piece%/*}" "${piece#*/}"; do
  [[ "$n" =~ ^[1-9][0-9]*$ ]] || { echo "flakes: COUNT=$many SLOW=$few PIECE=$piece: want numbers, and PIECE as 2/5" >&2; exit 2; }
done
if [ $# -eq 0 ]; then
  set -- ./...
fi
work=$(mktemp -d)
yes >/dev/null & neighbour=$!
trap 'kill "$neighbour" 2>/dev/null || true; rm -rf "$work"' EXIT

# run COUNT ARGUMENT...: runs the binary of the package, and keeps what it says if it fails.
run() {
  local count=$1; shift
  (cd "$dir" && "$work/test" -test.count "$count" -test.shuffle on -test.timeout 6h "$@") >"$work/output" 2>&1 && return
  echo "flakes: $package FAILED"
  grep -E '^ *--- FAIL|^-test.shuffle|panic:|DATA RACE' "$work/output" | sort | uniq -c
  cp "$work/output" "$(mktemp "${TMPDIR:-/tmp}/flakes-$(basename "$package")-XXXX.log")"
  failed+=("$package")
}

failed=() number=0
while IFS=$'\t' read -r package dir; do
  number=$((number + 1))
  [ $((number % ${piece#*/})) -eq $((${piece%/*} % ${piece#*/})) ] || continue
  rm -f "$work/test"
  go test -race -c -o "$work/test" "$package"
  [ -x "$work/test" ] || continue # it has no tests
  begin=$SECONDS
  run 1 -test.v
  slow=$(awk '/^--- / && substr($NF, 2) + 0 >= 1 {printf "%s%s", sep, $3; sep = "|"}' "$work/output")
  run "$many" ${slow:+-test.skip "^($slow)\$"}
  if [ -n "$slow" ]; then
    run "$few" -test.run "^($slow)\$"
  fi
  echo "flakes: $package: $((SECONDS - begin)) s, $many times; ${few} times: ${slow:-none}"
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$@")
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'flakes: failed: %s\n' "${failed[*]}. What they printed is in ${TMPDIR:-/tmp}/flakes-*.log." >&2
  exit 1
fi
echo "flakes: none"
