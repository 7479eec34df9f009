# Stands in for python:3.13-slim-bookworm: a CPython of the host, in the folder `python` beside this, on Debian.
FROM inferq-standin/debian:bookworm
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates \
      libbz2-1.0 libexpat1 libffi8 libgdbm6 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 libuuid1 zlib1g \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY python /usr/local
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN ldconfig && ln -sf python3.13 /usr/local/bin/python && ln -sf python3.13 /usr/local/bin/python3 && python --version
CMD ["python3"]
