#!/usr/bin/env bash
# Builds the binary of the container image and runs it in an empty root as the image's user, without Docker. That is what
# `FROM scratch` gives it: no libc, no /tmp, no /etc/passwd.
set -euo pipefail
cd "$(dirname "$0")/.."

user=65532 # as in the Dockerfile
grep -q "^USER $user:$user\$" Dockerfile || { echo "image-check: the Dockerfile no longer runs as $user" >&2; exit 1; }

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
VERSION=image-check .ci/build.sh "$root/tailpost"

if [ "$(id -u)" = 0 ]; then
  out="$(chroot --userspec="$user:$user" "$root" /tailpost version)"
elif unshare --user --map-root-user true 2>/dev/null; then
  out="$(unshare --user --map-root-user chroot "$root" /tailpost version)"
else
  echo "image-check: neither root nor user namespaces here; checking only that the binary is static" >&2
  if ldd "$root/tailpost" >/dev/null 2>&1; then
    echo "image-check: the binary is linked dynamically" >&2
    exit 1
  fi
  out="$("$root/tailpost" version)"
fi
case "$out" in
  *image-check*) echo "image-check: ok, $(du -h "$root/tailpost" | cut -f1): $(head -n 1 <<<"$out")" ;;
  *) echo "image-check: unexpected answer of \`tailpost version\`: $out" >&2; exit 1 ;;
esac
