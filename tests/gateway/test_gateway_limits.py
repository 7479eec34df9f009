"""How many requests a key may send. Rates of one an hour: nothing comes back while a test runs."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from installation import Installation, until
from pydantic import SecretStr
from served import ROW, ServedHere, assert_problem, enqueue

from inferq_core.broker_url import redis_url
from inferq_core.buckets import PREFIX, LocalBuckets, buckets_of
from inferq_core.errors import BrokerUnavailable
from inferq_core.keys import digest_of, new_key
from inferq_core.policy.rate import RateLimit
from inferq_core.store.records import KeyScope, NewKey

HOURLY = RateLimit.parse("1/h", 5)


def limited(store, limit=HOURLY):
    key_id, text = new_key()
    store.add_key(NewKey(key_id, "shop", digest_of(text), [KeyScope.SUBMIT], None, limit))
    return key_id, {"Authorization": f"Bearer {text}"}


def statuses(http, headers, count):
    with ThreadPoolExecutor(8) as pool:
        return sorted(pool.map(lambda _: http.get("/v1/models", headers=headers).status_code, range(count)))


def test_a_key_sends_as_much_as_it_may_through_all_gateways_together(local):
    key_id, headers = limited(local.store)
    _, unlimited = limited(local.store, None)
    with ServedHere(local) as http, ServedHere(local) as other:
        first = enqueue(http, headers=headers)
        assert first.status_code == 202
        assert first.headers["ratelimit-policy"] == '"key";q=5;w=18000'
        assert first.headers["ratelimit"] == '"key";r=4;t=3600'
        # Reading counts as well, under /v2 too; what needs no key does not.
        assert other.get("/v2/models/sums", headers=headers).headers["ratelimit"].startswith('"key";r=3;')
        assert http.get("/v1/health/ready", headers=headers).status_code == 200
        assert statuses(http, headers, 6) == [200] * 3 + [429] * 3
        refused = enqueue(other, headers=headers)
        problem = assert_problem(refused, 429, "rate-limited")
        assert 3_590 <= int(refused.headers["retry-after"]) <= 3_600
        assert problem["retry_after_seconds"] == int(refused.headers["retry-after"])
        assert refused.headers["ratelimit"].startswith('"key";r=0;')
        infer = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": ROW}]}
        answer = other.post("/v2/models/sums/infer", headers=headers, json=infer)
        assert (answer.status_code, list(answer.json())) == (429, ["error"])
        free = http.get("/v1/models", headers=unlimited)
        assert free.status_code == 200
        assert "ratelimit" not in free.headers
    with redis.Redis.from_url(redis_url(local.settings.broker)) as broker:
        assert 0 < broker.ttl(PREFIX + key_id) <= 18_001


@pytest.mark.parametrize("shared", [True, False], ids=["redis", "rabbitmq"])
def test_buckets_fill_again(local, shared):
    buckets = buckets_of(local.settings.broker if shared else "amqp://localhost//")
    assert isinstance(buckets, LocalBuckets) is not shared
    quick = RateLimit(20.0, 3)
    key_id, other = new_key()[0], new_key()[0]
    levels = buckets.take([(key_id, HOURLY), (other, HOURLY)] * 5)
    assert all(level.allowed for level in levels)
    assert [round(level.tokens, 2) for level in levels[::2]] == [4, 3, 2, 1, 0]
    assert not buckets.take([(key_id, HOURLY)])[0].allowed
    # The limit of a key may change.
    until(lambda: buckets.take([(key_id, quick)])[0].allowed)
    assert buckets.take([(key_id, quick)])[0].tokens < 3
    buckets.close()


def test_the_server_forgets_the_script(local):
    buckets = buckets_of(local.settings.broker)
    key_id = new_key()[0]
    buckets.take([(key_id, HOURLY)])
    with redis.Redis.from_url(redis_url(local.settings.broker)) as broker:
        broker.script_flush()
    assert round(buckets.take([(key_id, HOURLY)])[0].tokens) == 3
    buckets.close()


def test_a_silent_broker_refuses_nobody(local, caplog):
    """It takes connections and never answers, which is the slowest way to be away."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        buckets = buckets_of(url)
        with pytest.raises(BrokerUnavailable, match="does not count"):
            buckets.take([("a", HOURLY)])
        settings = local.settings.model_copy(update={"broker_url": SecretStr(url)})
        without = Installation(local.client, local.store, settings)
        _, headers = limited(local.store)
        with ServedHere(without) as http:
            assert statuses(http, headers, 20) == [200] * 20
            assert "ratelimit" not in http.get("/v1/models", headers=headers).headers
    assert [record.getMessage() for record in caplog.records].count("rate_limits_off") == 1
