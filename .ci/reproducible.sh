#!/usr/bin/env bash
# Builds the product twice, in two folders with caches of their own, and compares the binaries byte for byte: what is released can
# be built again by anybody. TARGETS are those to build, as goos/goarch.
set -euo pipefail
cd "$(dirname "$0")/.."

targets="${TARGETS:-$(go env GOOS)/$(go env GOARCH)}"
work="$(mktemp -d)"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Another path, another cache, another time: none of them may be in the binary.
mkdir -p "$work/a very/different path"
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$work/a very/different path"

for target in $targets; do
  export GOOS="${target%/*}" GOARCH="${target#*/}" VERSION="${VERSION:-reproducible}"
  .ci/build.sh "$work/one"
  (cd "$work/a very/different path" && GOFLAGS= GOCACHE="$work/cache" .ci/build.sh "$work/two")
  cmp "$work/one" "$work/two" || { echo "reproducible: two builds of $target differ" >&2; exit 1; }
  echo "reproducible: $target $(sha256sum "$work/one" | cut -d ' ' -f 1)"
done
