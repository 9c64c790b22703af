#!/usr/bin/env bash
# build-tools.sh: what `make amqp` compiles with, from Debian; nothing where it is there.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null && pkg-config --exists openssl 2>/dev/null && exit 0
apt-get -o DPkg::Lock::Timeout=300 update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends gcc libc6-dev pkg-config libssl-dev >/dev/null
