#!/usr/bin/env bash
# Makes images with the names of the base images, for a machine that reaches no image registry. Sourced by prove.sh.
#   standins REDIS_IMAGE POSTGRES_IMAGE PYTHON_IMAGE

# Debian's minimal system, from the mirror that this machine's apt uses.
debian_standin() {
  local root=$WORK/debian
  debootstrap --variant=minbase bookworm "$root" "$MIRROR" > "$WORK/debootstrap.log"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" -c . | podman import --quiet --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - \
    inferq-standin/debian:bookworm
  rm -rf "$root"
}

# The CPython installation in PYTHON_PREFIX without its tests and without what was installed into it.
python_context() {
  local context=$WORK/python-context
  mkdir -p "$context/python"
  tar -C "$PYTHON_PREFIX" -c --exclude=site-packages --exclude=test --exclude=__pycache__ --exclude='*.a' --exclude=idlelib \
    bin lib | tar -C "$context/python" -x
  mkdir -p "$context/python/lib/python3.13/site-packages"
  rm -f "$context"/python/bin/{pip,idle,pydoc,2to3}*
  strip --strip-unneeded "$context"/python/lib/libpython3*.so* || true # as in the image that this stands for
  cp "$CA_BUNDLE" "$context/ca-certificates.crt"
  echo "$context"
}

standins() {
  local here=$1
  debian_standin
  podman build $BUILD_OPTIONS --quiet --tag "$(image_of redis)" --file "$here/redis.Dockerfile" "$here"
  podman build $BUILD_OPTIONS --quiet --tag "$(image_of postgres)" --file "$here/postgres.Dockerfile" "$here"
  podman build $BUILD_OPTIONS --quiet --tag "$(base_image)" --file "$here/python.Dockerfile" "$(python_context)"
}
