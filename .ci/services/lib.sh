# Shared by the services of .ci/run: source me. Each runs from a data folder of its own, listens on 127.0.0.1 only, keeps its pid there.
set -euo pipefail

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { echo "not healthy in time: $*" >&2; return 1; }
    sleep 0.2
  done
}

# stop_pid PIDFILE: ask, then kill after ten seconds
stop_pid() {
  local pid; [ -s "$1" ] || return 0; pid=$(cat "$1")
  kill "$pid" 2>/dev/null || { rm -f "$1"; return 0; }
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$1"
}
