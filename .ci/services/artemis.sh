#!/usr/bin/env bash
# artemis.sh start|stop DATADIR [PORT]: Apache Artemis, an AMQP 1.0 broker with a password and a journal on disk. `start` prints its URL.
# Fetched by Maven at the first start, then kept in ~/.cache. Started again on its folder and port, it goes on with what it kept.
. "$(dirname "$0")/lib.sh"
data=$(realpath -m "$2") version=2.40.0
cache=$HOME/.cache/water_pipelines/bin home=${ARTEMIS_HOME:-$HOME/.cache/water_pipelines/bin/apache-artemis-$version}

install_broker() {
  if [ -x "$home/bin/artemis" ]; then return; fi
  mkdir -p "$cache"
  mvn -q -B dependency:get -Dtransitive=false -Dartifact=org.apache.activemq:apache-artemis:$version:tar.gz:bin >&2
  tar -xzf "${MVN_REPO:-$HOME/.m2/repository}/org/apache/activemq/apache-artemis/$version/apache-artemis-$version-bin.tar.gz" -C "$cache"
}

create() {
  mkdir -p "$data"
  (umask 077; python3 -c 'import secrets; print(secrets.token_hex(16))' >"$data/password")
  "$home/bin/artemis" create --silent --host 127.0.0.1 --http-host 127.0.0.1 --user water --password "$(cat "$data/password")" --require-login --no-web --nio \
    --no-autotune --no-amqp-acceptor --no-hornetq-acceptor --no-mqtt-acceptor --no-stomp-acceptor --default-port "$1" "$data/broker" >"$data/create.log" 2>&1 \
    || { tail "$data/create.log" >&2; exit 1; }
  # a bare sender makes a queue, not a topic; a message that is never settled comes again for ever
  sed -i -e 's#<address-setting match="\#">#&<default-queue-routing-type>ANYCAST</default-queue-routing-type><default-address-routing-type>ANYCAST</default-address-routing-type><max-delivery-attempts>-1</max-delivery-attempts>#' \
    "$data/broker/etc/broker.xml"
  sed -i -e 's/-Xms[0-9]*[MG]/-Xms128M/' -e 's/-Xmx[0-9]*[MG]/-Xmx512M/' "$data/broker/etc/artemis.profile"
  echo "$1" >"$data/port"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$data/port")"); }

start() {
  install_broker
  [ -x "$data/broker/bin/artemis" ] || create "${1:-$(free_port)}"
  rm -f "$data/broker/lock/cli.lock"
  cd "$data"
  setsid nohup "$data/broker/bin/artemis" run >>"$data/log" 2>&1 </dev/null &
  echo $! >"$data/pid"
  wait_for 120 answers || { tail -20 "$data/log" >&2; exit 1; }
  echo "amqp://water:$(cat "$data/password")@127.0.0.1:$(cat "$data/port")"
}

case $1 in
  start) start "${3:-}" ;;
  stop) stop_pid "$data/pid" ;;
  *) sed -n 2,3p "$0" >&2; exit 2 ;;
esac
