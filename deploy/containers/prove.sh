#!/usr/bin/env bash
# Builds the image and runs compose.yaml for real on a machine that reaches no image registry: the base images are made
# from Debian's packages and a CPython 3.13 of this machine (standins/). As root, on Debian 12; changes no file of the
# project; what it makes is in WORK.
#   deploy/containers/prove.sh podman     build, up, 1,000 jobs, two workers, warm shutdown, down (podman, runc)
#   deploy/containers/prove.sh docker     the same up to down with the images built before, by a Docker engine
#   deploy/containers/prove.sh clean      remove WORK
# Variables:
#   PYTHON_PREFIX   folder of a CPython 3.13 installation (needed by podman)
#   WORK            scratch folder (default: /var/tmp/inferq-containers)
#   MIRROR          Debian mirror (default: the first of this machine's apt)
#   CA_BUNDLE       certificates that builds trust (default: this machine's)
#   BUILD_OPTIONS   more options for `podman build`, for example --volume or --env for a package index
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
PROJECT=$(cd "$HERE/../.." && pwd)
WORK=${WORK:-/var/tmp/inferq-containers}
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)}
CA_BUNDLE=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
BUILD_OPTIONS="--network host ${BUILD_OPTIONS:-}"
export CONTAINERS_CONF=$WORK/etc/containers.conf CONTAINERS_STORAGE_CONF=$WORK/etc/storage.conf
export BUILDAH_FORMAT=docker # the OCI format has no HEALTHCHECK
export COMPOSE_PROJECT_NAME=inferq COMPOSE_FILE=$PROJECT/compose.yaml
# shellcheck source=deploy/containers/standins/build.sh
. "$HERE/standins/build.sh"
# shellcheck source=deploy/containers/engines.sh
. "$HERE/engines.sh"

say() { printf '\n== %s\n' "$*"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s\n", b - a }'; }
image_of() { echo "docker.io/library/$(sed -n "s/^ *image: \($1:.*\)/\1/p" "$COMPOSE_FILE")"; }
base_image() { echo "docker.io/library/$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' "$PROJECT/Dockerfile")"; }
inferq_image() { sed -n 's/^ *image: \(inferq:.*\)/\1/p' "$COMPOSE_FILE"; }

# Passwords for this run, in a file of their own that only we read.
secrets() {
  (umask 077; for name in REDIS POSTGRES FLOWER; do
    echo "${name}_PASSWORD=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; done > "$WORK/passwords")
  set -a; . "$WORK/passwords"; set +a
  export INFERQ_DATA=$HERE
}

work() { compose --profile cli run --rm -T --entrypoint python cli /data/work.py "$@"; }

build_image() {
  local start; start=$(now)
  podman build $BUILD_OPTIONS --quiet --tag "$(inferq_image)" "$PROJECT"
  echo "image built in $(since "$start")"
  podman image inspect --format '{{.Size}}' "$(inferq_image)" | awk '{ printf "image %.0f MB\n", $1 / 1e6; exit $1 > 450e6 }'
}

# until_healthy START SERVICE…: waits until the checks of all containers of the services say yes.
until_healthy() {
  local start=$1 service name
  shift
  for service in "$@"; do
    for name in $(containers "$service"); do
      for _ in $(seq 120); do healthy "$name" && break; sleep 0.5; done
      healthy "$name" || { echo "$name is not healthy"; engine logs "$name" 2>&1 | tail -n 20; return 1; }
      echo "$name healthy after $(since "$start")"
    done
  done
}

# Jobs come in all the time; the workers get SIGTERM in the middle, end by themselves with nothing left half done, and the
# next ones do the rest.
warm_shutdown() {
  local start workers enqueuing
  work enqueue 20000 & enqueuing=$!
  work beyond 2100
  mapfile -t workers < <(containers worker)
  start=$(now)
  engine stop --time 330 "${workers[@]}" # compose tools differ in whether they know replicas
  engine inspect --format "{{.Name}} stopped within $(since "$start"), exit code {{.State.ExitCode}}" "${workers[@]}" \
    | tee "$WORK/stopped"
  ! grep -v 'exit code 0$' "$WORK/stopped"
  wait "$enqueuing"
  work idle
  work counts
  engine start "${workers[@]}"
  work finish
  work counts
}

exercise() {
  local start
  down # of a run that was interrupted
  say "up"
  start=$(now)
  up
  echo "up returned after $(since "$start")"
  until_healthy "$start" redis postgres worker keeper ${FLOWER-flower}
  say "who the processes are: not root, and nothing published beyond this machine"
  compose exec -T worker id
  published
  say "1,000 jobs"
  work register
  work submit 1000
  say "two workers"
  up --scale worker=2
  work workers 2
  work submit 1000
  say "warm shutdown"
  warm_shutdown
  say "down"
  down
}

case ${1:-} in
  podman)
    say "podman"
    podman_engine
    secrets
    [ -n "${SKIP_BUILD:-}" ] || { say "stand-ins and image"; standins "$HERE/standins"; build_image; }
    exercise
    ;;
  docker)
    say "docker"
    podman_engine
    secrets
    docker_engine
    trap stop_docker EXIT
    exercise
    ;;
  clean) clean ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
say "all of it held"
