"""Which brokers are taken, and what the client libraries are told of them."""

import ssl

import pytest

from inferq import Client
from inferq_core.broker_url import check_url, kombu_url, redis_url, sentinels_of, tls_options
from inferq_core.errors import SettingsError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/2",
        "redis://user:p%40ss%2Fw%3Frd%3B@localhost:6379/0",
        "redis://:pass@[::1]:6379",
        "rediss://h:1/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required&ssl_check_hostname=true",
        "redis+socket:///run/broker.sock",
        "redis+socket:///run/broker.sock?virtual_host=2",
        "sentinel://h?master_name=m",
        "sentinel://user:p%40ss@h:26379,[::1]:26380/2?master_name=m&sentinel_password=x",
        "amqp://u:p@h:5672/vhost",
        "amqps://u:p@h/?ssl_ca_certs=/etc/ca.pem",
        "pyamqp://h",
    ],
)
def test_these_are_taken(url):
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sentinel://h:26379", "name the group that the sentinels watch"),
        ("sentinel://h:26379,:1/0?master_name=m", "name the host"),
        ("sentinel://h:26379,g:port/0?master_name=m", "the port is no number"),
        ("sentinel://a;sentinel://b/0?master_name=m", "name one address"),
        ("sentinel://h?master_name=m&ssl_ca_certs=/x", "'ssl_ca_certs' is no option of sentinel://"),
        ("rediss+cluster://h", "Cluster"),
        ("redis+cluster://h", "Cluster"),
        ("sqs://h", "'sqs' is none of redis"),
        ("localhost:6379", "is none of redis"),
        ("redis://a;redis://b", "name one address"),
        ("redis://h/many", "database 'many' is no number"),
        ("redis+socket:///s?virtual_host=x", "database 'x' is no number"),
        ("redis+socket://", "name the socket's file"),
        ("redis:///0", "name the host"),
        ("redis://h:port/0", "the port is no number"),
        ("redis://:a/b@h/0", "percent-encoded"),
        ("redis://:a?b@h/0", "percent-encoded"),
        ("redis://:a#b@h/0", "percent-encoded"),
        ("redis://h/0?db=1", "'db' is no option of redis://"),
        ("redis://h/0?ssl_ca_certs=/x", "'ssl_ca_certs' is no option of redis://"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs is one of required, optional, none"),
        ("rediss://h/0?ssl_check_hostname=0", "ssl_check_hostname is one of true, false"),
        ("rediss://h/0?ssl_ca_certs=", "ssl_ca_certs is empty"),
        ("rediss://h/0?ssl_ca_cert=/x", "'ssl_ca_cert' is no option of rediss://"),
    ],
)
def test_these_are_refused_in_one_line_that_says_what_to_do(url, told, tmp_path):
    with pytest.raises(SettingsError, match="INFERQ_BROKER_URL=") as refused:
        check_url(url)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError):
        Client(home=tmp_path, broker_url=url)


@pytest.mark.parametrize("url", ["redis://:hunt/er2@h/0", "redis://:hunt?er2@h/0", "redis://:hunt#er2@h/0"])
def test_a_password_that_was_not_encoded_does_not_show(url):
    with pytest.raises(SettingsError) as refused:
        check_url(url)
    assert "er2" not in str(refused.value)


def test_redis_verifies_unless_told_otherwise():
    assert tls_options("redis://h") is None
    assert tls_options("rediss://h") == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert tls_options("rediss://h?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k") == {
        "ssl_ca_certs": "/ca",
        "ssl_certfile": "/c",
        "ssl_keyfile": "/k",
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }
    assert tls_options("rediss://h?ssl_check_hostname=false")["ssl_check_hostname"] is False
    assert tls_options("rediss://h?ssl_cert_reqs=none") == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def test_amqp_verifies_certificate_and_name_unless_told_otherwise():
    assert tls_options("amqp://h") is None
    assert tls_options("amqps://u:p@h:1/v") == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h"}
    assert tls_options("amqps://h/?ssl_ca_certs=/ca&ssl_check_hostname=false") == {
        "ca_certs": "/ca",
        "cert_reqs": ssl.CERT_REQUIRED,
    }
    assert tls_options("amqps://h/?ssl_cert_reqs=none") == {"cert_reqs": ssl.CERT_NONE}


def test_the_libraries_have_their_own_forms():
    assert kombu_url("redis+socket:///p?virtual_host=2") == "socket:///p?virtual_host=2"
    assert redis_url("redis+socket:///p?virtual_host=2") == "unix:///p?db=2"
    assert redis_url("redis+socket://u:p@/p") == "unix://u:p@/p"
    assert kombu_url("rediss://h/0?ssl_ca_certs=/ca") == "rediss://h/0"
    assert redis_url("rediss://h/0?ssl_ca_certs=/ca") == "rediss://h/0?ssl_ca_certs=/ca"


def test_sentinels_are_named_with_their_group():
    place = sentinels_of("sentinel://user:p%40ss@h:1,[::1]/2?master_name=m&sentinel_password=x")
    assert place.hosts == [("h", 1), ("::1", 26379)]
    assert (place.master_name, place.database, place.username, place.password) == ("m", 2, "user", "p@ss")
    assert (place.sentinel_username, place.sentinel_password) == (None, "x")
    assert "p@ss" not in repr(place)
    assert kombu_url("sentinel://u:p@h:1,g:2/2?master_name=m") == "sentinel://u:p@h:1/2;sentinel://u:p@g:2/2"
