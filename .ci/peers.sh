#!/usr/bin/env bash
# Installs the programs that tests run beside Tailpost, where they are not here: PgBouncer, nginx, squid, Tomcat, and Python with its
# package cryptography. Says which it could not; tests that need one of those are skipped, unless CI is set.
#
# Installs through the distribution's package manager when root, or through Homebrew. Starts no service.
set -euo pipefail

say() { echo "peers.sh: $*" >&2; }

PATH="$PATH:/usr/sbin:/usr/local/sbin"

# missing prints which of them are not here.
missing() {
  for program in pgbouncer nginx squid python3; do
    command -v "$program" >/dev/null || echo "$program"
  done
  if command -v python3 >/dev/null && ! python3 -c 'import cryptography' 2>/dev/null; then
    echo python3-cryptography
  fi
  for home in "${CATALINA_HOME:-}" /usr/share/tomcat10 /usr/share/tomcat /opt/homebrew/opt/tomcat/libexec; do
    [ ! -e "$home/bin/catalina.sh" ] || return 0
  done
  echo tomcat10
}

wanted="$(missing | tr '\n' ' ')"
if [ -z "$wanted" ]; then
  exit 0
fi
case " $wanted " in *" python3 "*) wanted="$wanted python3-cryptography" ;; esac

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing with apt-get: $wanted"
  # Debian starts the services that it installs, unless this program forbids it. RUNLEVEL=1 would do for init scripts, but
  # systemd's are started at any.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get -o Acquire::Retries=3 update -q >&2 || true
  # shellcheck disable=SC2086 # a list
  apt-get -o Acquire::Retries=3 install -qy --no-install-recommends $wanted >&2 || true
elif [ "$(id -u)" = 0 ] && command -v apk >/dev/null; then
  wanted="${wanted//tomcat10/}" # Alpine has none
  say "installing with apk: $wanted"
  # shellcheck disable=SC2086
  apk add --no-cache ${wanted//python3-cryptography/py3-cryptography} >&2 || true
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
  say "installing with dnf: $wanted"
  # shellcheck disable=SC2086
  dnf install -y ${wanted//tomcat10/tomcat} >&2 || true
elif command -v brew >/dev/null; then
  wanted="${wanted//tomcat10/tomcat}"
  say "installing with brew: $wanted"
  # shellcheck disable=SC2086
  brew install ${wanted//python3-cryptography/cryptography} >&2 || true
fi

left="$(missing | tr '\n' ' ')"
if [ -n "$left" ]; then
  say "not here: $left: tests that need them are skipped, unless CI is set"
fi
