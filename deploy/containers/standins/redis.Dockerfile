# Stands in for the redis image: Debian's Redis behind an entry point with the same contract.
FROM inferq-standin/debian:bookworm
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis redis \
 && apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && install -d -o redis -g redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
