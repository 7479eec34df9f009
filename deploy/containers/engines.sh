#!/usr/bin/env bash
# The two engines behind the same functions: compose, up, down, engine, containers, healthy, published. Sourced by prove.sh.

missing() { for command in "$@"; do command -v "$command" > /dev/null || return 0; done; return 1; }

install() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > "$WORK/apt.log"; }

podman_engine() {
  mkdir -p "$WORK/etc"
  if missing podman runc debootstrap iptables; then
    install podman buildah runc netavark aardvark-dns iptables fuse-overlayfs uidmap slirp4netns debootstrap
  fi
  # A machine without CAP_SYS_RESOURCE cannot raise limits, and one without systemd has no other cgroup manager.
  cat > "$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=10000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
END
  cat > "$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$WORK/storage"
runroot = "$WORK/run"
END
  [ -x "$WORK/venv/bin/podman-compose" ] || { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install -q podman-compose; }
  ENGINE=podman
}

# Docker's own network namespace leaves this machine's firewall alone and has no way out: the images come from podman.
docker_engine() {
  missing dockerd docker-compose && install docker.io docker-compose
  mkdir -p "$WORK/docker"
  export DOCKER_HOST=unix://$WORK/docker/docker.sock
  unshare --net --mount bash -c "ip link set lo up; exec dockerd --data-root '$WORK/docker/root' \
    --exec-root '$WORK/docker/run' --pidfile '$WORK/docker/pid' -H '$DOCKER_HOST' --storage-driver overlay2 \
    --oom-score-adjust 0 --default-ulimit nofile=10000:20000 --default-ulimit nproc=4096:4096" > "$WORK/docker/log" 2>&1 &
  DOCKER_PROCESS=$!
  ENGINE=docker
  for _ in $(seq 60); do /usr/bin/docker version > /dev/null 2>&1 && break; sleep 0.5; done
  local image
  for image in "$(image_of redis)" "$(image_of postgres)" "localhost/$(inferq_image)"; do
    podman save --quiet --format docker-archive "$image" | /usr/bin/docker load
  done
  /usr/bin/docker tag "localhost/$(inferq_image)" "$(inferq_image)"
}

stop_docker() { kill "$DOCKER_PROCESS" 2> /dev/null && wait "$DOCKER_PROCESS" || true; }

engine() { if [ "$ENGINE" = podman ]; then podman "$@"; else /usr/bin/docker "$@"; fi; }

compose() {
  if [ "$ENGINE" = podman ]; then
    (cd "$PROJECT" && "$WORK/venv/bin/podman-compose" "$@")
  else
    (cd "$PROJECT" && /usr/bin/docker-compose "$@")
  fi
}

# podman 4 starts nothing that depends on a container which has ended, as the migration has: the order is ours.
up() {
  if [ "$ENGINE" = podman ]; then
    compose up -d --no-build --no-deps redis postgres
    until_healthy "$(now)" redis postgres
    compose up -d --no-build --no-deps migrate
    podman wait "${COMPOSE_PROJECT_NAME}_migrate_1" | grep -qx 0 || { podman logs "${COMPOSE_PROJECT_NAME}_migrate_1"; return 1; }
    compose up -d --no-build --no-deps "$@" worker keeper ${FLOWER-flower}
  else
    compose up -d --no-build "$@"
  fi
}

containers() { engine ps --filter "name=^${COMPOSE_PROJECT_NAME}_$1_[0-9]" --format '{{.Names}}'; }

# podman 4 runs no checks by itself where there is no systemd.
healthy() {
  if [ "$ENGINE" = podman ]; then
    podman healthcheck run "$1" > /dev/null 2>&1
  else
    [ "$(/usr/bin/docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
  fi
}

# Shows the published ports; fails when one is reachable from elsewhere.
published() {
  engine ps --format '{{.Names}} {{.Ports}}' | grep -- '->' > "$WORK/published"
  cat "$WORK/published"
  ! grep -v '127\.0\.0\.1:' "$WORK/published"
}

# podman-compose forgets replicas.
down() {
  if [ "$ENGINE" = podman ]; then
    podman ps --all --quiet --filter "label=io.podman.compose.project=$COMPOSE_PROJECT_NAME" | xargs -r podman rm --force > /dev/null
  fi
  compose down --volumes > /dev/null 2>&1
  [ -z "$(engine ps --all --quiet)" ]
}

clean() {
  if [ -f "$CONTAINERS_CONF" ]; then podman rm --all --force; podman system reset --force; fi
  rm -rf "$WORK"
}
