#!/bin/sh
# Writes .env, from which Compose takes the secrets, with new ones. A file that is there is left alone: Postgres keeps the
# password that it was set up with.
set -eu
cd "$(dirname "$0")"

if [ -e .env ]; then
  echo "make-env.sh: .env is there already" >&2
  exit 0
fi
umask 077
# Hexadecimal, because the password is a part of a URL.
password="$(head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n')"
secret="whsec_$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
printf 'POSTGRES_PASSWORD=%s\nTAILPOST_SECRET=%s\n' "$password" "$secret" >.env
