#!/bin/sh
# Builds the product as one static binary: .ci/build.sh OUTPUT. VERSION is what it calls itself.
# Plain sh, because the image's build stage has no more.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
exec go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION:-devel}" -o "$1" ./cmd/tailpost
