#!/usr/bin/env bash
# postgres.sh start|stop DATADIR: Debian's PostgreSQL 15 with PostGIS in a private cluster. `start` prints its URL.
# Fast, not durable: what must survive a crash is tested on servers of the suite's own.
. "$(dirname "$0")/lib.sh"
data=$(realpath -m "$2") bin=/usr/lib/postgresql/15/bin

as_server() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }

install_packages() {
  if [ -x $bin/postgres ] && [ -e /usr/share/postgresql/15/extension/postgis.control ]; then return; fi
  [ "$(id -u)" = 0 ] || { echo "install postgresql-15 and postgresql-15-postgis-3 first" >&2; return 1; }
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends postgresql-15 postgresql-15-postgis-3 >/dev/null
}

start() {
  install_packages
  mkdir -p "$data"
  port=$(free_port) password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
  (umask 077; echo "$password" >"$data/password")
  if [ "$(id -u)" = 0 ]; then chown -R postgres "$data"; fi
  as_server $bin/initdb -D "$data/pg" -U postgres -A scram-sha-256 --pwfile="$data/password" -E UTF8 --locale=C.UTF-8 --no-sync >"$data/initdb.log" 2>&1 \
    || { cat "$data/initdb.log" >&2; exit 1; }
  as_server $bin/pg_ctl -D "$data/pg" -l "$data/pg/log" -s -w -t 60 start >&2 -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=256MB -c max_connections=200 -c max_locks_per_transaction=256" \
    || { tail -5 "$data/pg/log" >&2; exit 1; }
  url="postgresql://postgres:$password@127.0.0.1:$port/postgres"
  # every database that the suite makes has PostGIS, as on a server that is set up with it
  as_server $bin/psql -q "postgresql://postgres:$password@127.0.0.1:$port/template1" -c "set client_min_messages = warning; create extension if not exists postgis" >&2
  echo "$url"
}

case $1 in
  start) start ;;
  stop) if [ -s "$data/pg/postmaster.pid" ]; then as_server $bin/pg_ctl -D "$data/pg" -m immediate -w stop >/dev/null; fi ;;
  *) sed -n 2,3p "$0" >&2; exit 2 ;;
esac
