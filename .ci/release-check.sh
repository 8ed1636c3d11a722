#!/usr/bin/env bash
# Makes everything of a release as a snapshot and publishes nothing: archives, packages, completions, man pages, SBOMs, checksums.
# Then looks into the packages and SBOMs, and runs the binary for Linux read-only, in an empty root, as somebody else than root
# where it can. The signature (cosign) is made by .github/workflows/release.yaml alone.
#
# goreleaser and cyclonedx-gomod are their own module, so that the product's go.mod stays small; their first build takes some
# minutes. v2.16.0 of goreleaser is the newest that can be had of the Go module proxy alone and builds with the Go of go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="$PWD/.cache/bin"
mkdir -p "$bin"
(cd .ci/goreleaser && go build -mod=readonly -buildvcs=false -o "$bin/" \
  github.com/goreleaser/goreleaser/v2 github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)
export PATH="$bin:$PATH"

# goreleaser wants a remote, which a clone has. What is not committed is not in it.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
git clone -q . "$work/tailpost"
cd "$work/tailpost"
goreleaser check
goreleaser release --snapshot --clean --skip=sign,publish --parallelism 2

cd dist
sha256sum --quiet -c checksums.txt
fail() { echo "release-check: $*" >&2; exit 1; }
linked="$(go -C .. list -m -f '{{.Path}}@{{.Version}}' github.com/jackc/pgx/v5 github.com/jackc/pglogrepl github.com/hashicorp/hcl/v2)"
for system in linux darwin windows; do
  for arch in amd64 arm64; do
    compgen -G "tailpost_*_${system}_$arch.*[pz]" >/dev/null || fail "no archive for $system/$arch"
    for module in $linked; do
      grep -qF "\"pkg:golang/$module?" tailpost_*_"${system}_$arch".cdx.json || fail "the SBOM of $system/$arch lacks $module"
    done
  done
done
wanted="usr/bin/tailpost usr/share/man/man1/tailpost.1 usr/share/bash-completion/completions/tailpost
  usr/share/zsh/vendor-completions/_tailpost usr/share/fish/vendor_completions.d/tailpost.fish
  usr/share/doc/tailpost/examples/tailpost.service usr/share/doc/tailpost/LICENSE"
if command -v dpkg-deb >/dev/null; then
  files="$(dpkg-deb -c tailpost_*_linux_amd64.deb)"
  for file in $wanted; do
    grep -qE " [./]*$file(\.gz)?\$" <<<"$files" || fail "the deb lacks $file"
  done
fi

if command -v rpm >/dev/null; then
  files="$(rpm -qlp tailpost_*_linux_amd64.rpm)"
  for file in $wanted; do
    grep -qE "^/$file(\.gz)?\$" <<<"$files" || fail "the rpm lacks $file"
  done
fi

root="$work/root"
mkdir "$root"
chmod 755 "$work"
cp tailpost_linux_amd64_v1/tailpost "$root/tailpost"
if [ "$(id -u)" = 0 ] && [ "$(uname -s)/$(uname -m)" = Linux/x86_64 ]; then
  unshare --mount sh -eu -c 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; chroot --userspec=65532:65532 "$1" /tailpost version' sh "$root"
fi
echo "release-check: ok, $(ls | grep -cE '\.(tar\.gz|zip|deb|rpm)$') files"
