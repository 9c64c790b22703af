#!/usr/bin/env bash
# mosquitto.sh start|stop DATADIR [PORT]: Debian's Mosquitto, an MQTT broker with a password, which keeps its sessions on disk. `start` prints its URL.
# Started again on its folder and port, it goes on with what it kept.
. "$(dirname "$0")/lib.sh"
data=$(realpath -m "$2")

install_packages() {
  if [ -x /usr/sbin/mosquitto ]; then return; fi
  [ "$(id -u)" = 0 ] || { echo "install mosquitto first" >&2; return 1; }
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mosquitto >/dev/null
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

start() {
  install_packages
  mkdir -p "$data/kept"
  if [ ! -s "$data/password" ]; then
    (umask 077; python3 -c 'import secrets; print(secrets.token_hex(16))' >"$data/password")
    mosquitto_passwd -b -c "$data/users" water "$(cat "$data/password")"
    chmod 600 "$data/users"
  fi
  port=${1:-$(free_port)}
  # it writes what it keeps every second: one that is killed has forgotten what it acknowledged in the last
  printf '%s\n' "listener $port 127.0.0.1" "user $(id -un)" "allow_anonymous false" "password_file $data/users" "persistence true" \
    "persistence_location $data/kept/" "autosave_interval 1" "max_queued_messages 1000000" "max_inflight_messages 10000" >"$data/conf"
  setsid nohup /usr/sbin/mosquitto -c "$data/conf" >>"$data/log" 2>&1 </dev/null &
  echo $! >"$data/pid"
  wait_for 15 answers "$port" || { tail -5 "$data/log" >&2; exit 1; }
  echo "mqtt://water:$(cat "$data/password")@127.0.0.1:$port"
}

case $1 in
  start) start "${3:-}" ;;
  stop) stop_pid "$data/pid" ;;
  *) sed -n 2,3p "$0" >&2; exit 2 ;;
esac
