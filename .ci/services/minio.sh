#!/usr/bin/env bash
# minio.sh start|stop DATADIR: MinIO, an S3 API, with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. `start` prints its URL.
# Built from source by Go at the first start (minutes), then kept in ~/.cache.
. "$(dirname "$0")/lib.sh"
data=$(realpath -m "$2") version=v0.0.0-20260212201848-7aac2a2c5b7c
binary=${MINIO_BIN:-$HOME/.cache/water_pipelines/bin/$version/minio}

start() {
  [ -x "$binary" ] || GOBIN=$(dirname "$binary") GOFLAGS='' CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/minio/minio@$version" >&2
  mkdir -p "$data/disk"
  port=$(free_port)
  MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY MINIO_BROWSER=off MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off \
    setsid nohup "$binary" server --address "127.0.0.1:$port" "$data/disk" >"$data/log" 2>&1 </dev/null &
  echo $! >"$data/pid"
  wait_for 60 curl -fsS "http://127.0.0.1:$port/minio/health/ready" || { tail -5 "$data/log" >&2; exit 1; }
  echo "http://127.0.0.1:$port"
}

case $1 in
  start) start ;;
  stop) stop_pid "$data/pid" ;;
  *) sed -n 2,3p "$0" >&2; exit 2 ;;
esac
