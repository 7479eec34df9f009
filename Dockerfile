# One image for every role. The role is the command: worker, keeper, deliverer, flower, db upgrade, submit, models register, …
# The base is a tag that gets security updates; `docker build --pull` takes them. docs/containers.md has the figures.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-image.lock ./
RUN python -m venv /opt/inferq \
 && /opt/inferq/bin/pip install --quiet --require-hashes -r requirements-image.lock
# Debug symbols of extensions whose wheels carry them; those of the numeric libraries have none to speak of.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils \
 && find /opt/inferq/lib \( -path '*/sqlalchemy/*.so' -o -path '*/hiredis/*.so' -o -path '*/wcwidth/*.so' \) \
      -exec strip --strip-debug {} +
# Not used in production: the tests that the libraries carry, and what others would compile against.
RUN find /opt/inferq/lib -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.c' \) -delete \
 && find /opt/inferq/lib -depth -type d -name tests -path '*/site-packages/*' -exec rm -r {} + \
 && find /opt/inferq/lib -depth -type d -name __pycache__ -exec rm -r {} +
COPY requirements.lock ./
# The build backend, with its hashes, out of the one lock; it stays in this stage.
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' requirements.lock > backend.lock \
 && python -m venv backend \
 && backend/bin/pip install --quiet --require-hashes -r backend.lock
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY models models
COPY monitoring monitoring
COPY migrations migrations
COPY workers workers
COPY producer producer
RUN backend/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/inferq/bin/pip install --quiet --no-deps --no-compile wheels/*.whl \
 && /opt/inferq/bin/pip uninstall --quiet --yes pip
# Byte code of what the roles and scikit-learn's models import, written by importing it; of everything it would be 40 MB more.
COPY deploy/containers/warm.py ./
RUN /opt/inferq/bin/python warm.py

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="inferq" org.opencontainers.image.licenses="Apache-2.0"
# The ids are fixed, so that volumes keep their owner from one image to the next.
RUN groupadd --gid 10001 inferq \
 && useradd --uid 10001 --gid inferq --home-dir /var/lib/inferq --shell /usr/sbin/nologin inferq \
 && install -d -o inferq -g inferq -m 0700 /var/lib/inferq \
 && install -d -o inferq -g inferq -m 0750 /var/lib/inferq/artifacts
COPY --from=build /opt/inferq /opt/inferq
ENV PATH=/opt/inferq/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    INFERQ_HOME=/var/lib/inferq
WORKDIR /var/lib/inferq
USER 10001:10001
# True for the role that this container runs, whichever that is. Shell form, which expands variables.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD python -m inferq_workers.health
ENTRYPOINT ["inferq"]
CMD ["worker"]
