#!/usr/bin/env bash
# A real one-node Apache Kafka on loopback, for tests and for a look at the log. Jars come from Maven once, then from a cache.
#   kafka.sh install                    fetch the jars
#   kafka.sh start DIR [plain|secure]   returns when the broker answers, printing its addresses: "plain HOST:PORT", with
#                                       secure also "tls HOST:PORT" and "sasl HOST:PORT" (SCRAM-SHA-256 over TLS, user urban,
#                                       password neuron; the authority is DIR/tls/ca.crt). Started again in DIR, it has the
#                                       same data and the same ports.
#   kafka.sh stop DIR [term|kill]       kill is kill -9
#   kafka.sh tool DIR CLASS ARGS...     a class of org.apache.kafka.tools, such as TopicCommand, with --bootstrap-server added
# Environment: KAFKA_OWNER_PID ends the broker with that process; KAFKA_HEAP (512m); KAFKA_CACHE; KAFKA_EXTRA lines for
# server.properties; KAFKA_START_SECONDS_MAX (120).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/urban-neuron/kafka}
jars=$cache/jars-$(cksum <"$here/pom.xml" | cut -d' ' -f1)
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
heap=${KAFKA_HEAP:-512m}
start_seconds_max=${KAFKA_START_SECONDS_MAX:-120}
stop_seconds_max=30
port_tries_max=5

die() {
  echo "kafka.sh: $*" >&2
  exit 1
}

install() {
  [ -d "$jars" ] && return
  command -v "$java" >/dev/null || die "java is needed (17 or newer): apt-get install openjdk-17-jre-headless"
  command -v mvn >/dev/null || die "mvn is needed to fetch Kafka: apt-get install maven"
  mkdir -p "$cache"
  # Of several first users one fetches and the others wait.
  exec 9>"$cache/lock"
  flock 9
  if [ ! -d "$jars" ]; then
    local part=$jars.part.$$ offline
    for offline in -o ""; do
      if mvn -q -B -ntp $offline -f "$here/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$part" >"$cache/maven.log" 2>&1; then
        mv "$part" "$jars"
        break
      fi
    done
    [ -d "$jars" ] || die "Maven could not fetch Kafka, see $cache/maven.log"
  fi
  exec 9>&-
}

is_running() { [ -f "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A short-lived JVM.
run_tool() {
  "$java" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.properties" \
    -Dkafka.log.level=ERROR -cp "$jars/*" "$@"
}

# Four ports in a row that nobody listens on, below those that the system gives to clients.
choose_ports() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + (RANDOM % 3000) * 4))
    is_open "$port" || is_open $((port + 1)) || is_open $((port + 2)) || is_open $((port + 3)) || {
      echo "$port"
      return
    }
  done
  die "no four free ports between 20000 and 32000"
}

# A throw-away authority, and a server certificate for loopback.
make_certificates() {
  [ -f "$1/server.pem" ] && return
  mkdir -p "$1"
  (
    cd "$1"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=test authority" -keyout ca.key -out ca.crt
    openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out server.crt
    cat server.key server.crt ca.crt >server.pem
  ) 2>"$1.log" || die "no certificates, see $1.log"
}

configure() {
  local dir=$1 mode=$2 port=$3 more=""
  [ "$mode" = secure ] && more=",SSL://127.0.0.1:$((port + 2)),SASL_SSL://127.0.0.1:$((port + 3))"
  sed -e "s|@DIR@|$dir|g; s|@PORT@|$port|g; s|@CONTROLLER_PORT@|$((port + 1))|g; s|@MORE_LISTENERS@|$more|g" \
    "$here/server.properties" >"$dir/server.properties"
  if [ "$mode" = secure ]; then
    make_certificates "$dir/tls"
    cat >>"$dir/server.properties" <<END
ssl.keystore.type=PEM
ssl.keystore.location=$dir/tls/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/tls/ca.crt
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
END
  fi
  [ -z "${KAFKA_EXTRA:-}" ] || printf '%s\n' "$KAFKA_EXTRA" >>"$dir/server.properties"
}

format() {
  local dir=$1 mode=$2 cluster scram=()
  [ -f "$dir/data/meta.properties" ] && return
  cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')
  [ "$mode" = secure ] && scram=(--add-scram "SCRAM-SHA-256=[name=urban,password=neuron]")
  run_tool kafka.tools.StorageTool format -t "$cluster" -c "$dir/server.properties" ${scram[@]+"${scram[@]}"} \
    >"$dir/format.log" 2>&1 || die "the data directory could not be formatted, see $dir/format.log"
}

# Ends the broker when its owner is gone, however that ended.
end_with_owner() {
  local pid=$1 owner=$2
  setsid bash -c 'while kill -0 "$1" && kill -0 "$2"; do sleep 0.5; done; kill -9 "$1"' _ "$pid" "$owner" \
    </dev/null >/dev/null 2>&1 9>&- &
}

# Returns 1 when the broker ended while it started.
launch() {
  local dir=$1 port=$2 pid deadline=$((SECONDS + start_seconds_max))
  : >"$dir/server.log"
  setsid "$java" -Xms"$heap" -Xmx"$heap" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -Dkafka.log="$dir/server.log" \
    -cp "$jars/*" kafka.Kafka "$dir/server.properties" </dev/null >"$dir/out.log" 2>&1 9>&- &
  pid=$!
  echo "$pid" >"$dir/pid"
  [ -z "${KAFKA_OWNER_PID:-}" ] || end_with_owner "$pid" "$KAFKA_OWNER_PID"
  until grep -q "Kafka Server started" "$dir/server.log" && is_open "$port"; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ $SECONDS -lt $deadline ] || {
      stop "$dir" kill
      die "not ready in $start_seconds_max s, see $dir/server.log"
    }
    sleep 0.1
  done
}

start() {
  local dir=${1:?DIR} mode=${2:-plain} port
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  is_running "$dir" && die "already running in $dir, pid $(cat "$dir/pid")"
  install
  for try in $(seq $port_tries_max); do
    # Data that exists belongs to ports that its clients know.
    [ -f "$dir/port" ] && port=$(cat "$dir/port") || port=$(choose_ports)
    configure "$dir" "$mode" "$port"
    format "$dir" "$mode"
    launch "$dir" "$port" && break
    rm -f "$dir/pid"
    # Another start may have taken the ports in between.
    if [ -f "$dir/port" ] || [ "$try" = $port_tries_max ] || ! grep -q "Address already in use" "$dir/server.log"; then
      tail -5 "$dir/out.log" "$dir/server.log" >&2
      die "the broker ended while starting, see $dir/server.log"
    fi
  done
  echo "$port" >"$dir/port"
  echo "plain 127.0.0.1:$port"
  [ "$mode" != secure ] || printf 'tls 127.0.0.1:%s\nsasl 127.0.0.1:%s\n' $((port + 2)) $((port + 3))
}

stop() {
  local dir=${1:?DIR} how=${2:-term} pid deadline=$((SECONDS + stop_seconds_max))
  is_running "$dir" || {
    rm -f "$dir/pid"
    return 0
  }
  pid=$(cat "$dir/pid")
  if [ "$how" = kill ]; then kill -9 "$pid"; else kill "$pid"; fi
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.05
  done
  rm -f "$dir/pid"
}

tool() {
  local dir=${1:?DIR} class=${2:?CLASS}
  shift 2
  install
  run_tool "org.apache.kafka.tools.$class" --bootstrap-server "127.0.0.1:$(cat "$dir/port")" "$@"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  install | start | stop | tool) "$command" "$@" ;;
  *)
    sed -n '2,11p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
