"""One POST to a receiver nobody knows: where it may go, whom it believes, and how long it bears with it."""

import asyncio
import ipaddress
import ssl
import time

import pytest
from certificates import Authority
from receiving import status

from inferq_core.errors import InvalidInput
from inferq_core.receivers import is_allowed, parse_networks, parse_receiver
from inferq_workers.delivery.lookup import Names
from inferq_workers.delivery.posting import MAX_HEAD, Poster

LOOPBACK = parse_networks("127.0.0.0/8")
HEADERS = {"webhook-id": "1"}
BODY = b"{}"


def post(url, *, addresses=("127.0.0.1",), allowed=LOOPBACK, timeout=10.0):
    async def run():
        async def found(host, port):
            return [ipaddress.ip_address(address) for address in addresses]

        return await Poster(found, allowed=allowed, timeout=timeout).post(parse_receiver(url, LOOPBACK), HEADERS, BODY)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:0", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1:0:0:80ff:fffe", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)  # fmt: skip
def test_only_the_internet_may_be_told(address):
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:1"])
def test_the_internet_may_be_told(address):
    assert is_allowed(ipaddress.ip_address(address), ())


def test_what_an_operator_names_may_be_told_besides():
    allowed = parse_networks("10.0.0.0/8, fd00::/8")
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), allowed)
    assert is_allowed(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert is_allowed(ipaddress.ip_address("fd12::1"), allowed)
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), allowed)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "characters"), ("https://", "https://host"), ("example.com/x", "https://host"),
        ("ftp://example.com", "host"),
        ("https://exa mple.com", "spaces"), ("https://example.com/\r\nX: 1", "spaces"),
        ("https://bücher.example", "ASCII"),
        ("https://me:pw@example.com", "password"), ("https://me@example.com", "password"),
        ("https://example.com/#a", "fragment"), ("https://example.com:0/", "host"),
        ("https://example.com:70000/", "URL"),
        ("https://[::1/", "URL"), ("https://127.0.0.1/", "public"), ("https://[::ffff:10.0.0.1]/", "public"),
        ("https://[fe80::1%25eth0]/", "name"), ("http://example.com/", "https"), ("https://a!b/", "name"),
        ("https://example.com/" + "x" * 2048, "2048"),
    ],
)  # fmt: skip
def test_urls_that_no_webhook_may_have(url, words):
    with pytest.raises(InvalidInput, match=words) as raised:
        parse_receiver(url)
    assert "pw" not in str(raised.value)


def test_a_url_is_taken_apart():
    receiver = parse_receiver("https://Hooks.Example.com:8443/a/b?c=d")
    assert (receiver.authority, receiver.target) == ("hooks.example.com:8443", "/a/b?c=d")
    assert parse_receiver("https://hooks.example.com").authority == "hooks.example.com"
    assert parse_receiver("https://[2606:2800:220:1::1]/").authority == "[2606:2800:220:1::1]"


def test_a_name_that_leads_inside_is_refused_and_nothing_is_sent(receivers):
    receiver = receivers()
    attempt = post(receiver.url(host="rebound.example", scheme="https"), allowed=())
    assert (attempt.is_final, attempt.status) == (True, None)
    assert "INFERQ_WEBHOOK_ALLOW" in attempt.error
    assert receiver.received == []
    plain = post(receiver.url(host="rebound.example"), addresses=["93.184.216.34"])
    assert plain.is_final, "plain text goes only where an operator says"


def test_the_connection_goes_to_the_address_that_was_checked(receivers):
    receiver = receivers()
    url = receiver.url(host="nowhere.invalid")
    assert post(url, addresses=["10.0.0.1", "127.0.0.1"]).status == 204
    (got,) = receiver.received
    assert got.headers["host"] == f"nowhere.invalid:{receiver.port}"
    assert got.body == BODY


def test_certificates_must_be_good_and_of_the_host(receivers, tmp_path, monkeypatch):
    authority = Authority(tmp_path, "ours")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.certify("server", "DNS:hooks.example"))
    receiver = receivers(tls=context)
    url = receiver.url(scheme="https", host="hooks.example")
    stranger = post(url)
    assert (stranger.status, stranger.is_final) == (None, False)
    assert "certificate" in stranger.error
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert "certificate" in post(receiver.url(scheme="https", host="other.example")).error
    assert receiver.received == []
    assert post(url).status == 204


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (status(301, "Location: https://example.com/"), 301, "301"),
        (status(500), 500, "500"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + status(202), 202, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, None, "end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", None, "headers"),
        (b"HTTP/2 200\r\n\r\n", None, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: ", None, "without an answer"),
        (b"", None, "without an answer"),
    ],
)
def test_answers(receivers, answer, code, words):
    attempt = post(receivers(answer).url())
    assert (attempt.status, attempt.is_final) == (code, False)
    assert words in (attempt.error or "")


def test_who_drips_is_not_borne_with_for_ever():
    async def drip(reader, writer):
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\n"[:1])
            await asyncio.sleep(0.05)

    async def run():
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return await Poster(Names(), allowed=LOOPBACK, timeout=0.5).post(parse_receiver(url, LOOPBACK), HEADERS, BODY)

    attempt = asyncio.run(run())
    assert (attempt.status, attempt.error) == (None, "no answer within 0.5 s")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("-1", None), ("soon", None), ("1e9", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0)],
)
def test_retry_after(receivers, value, seconds):
    assert post(receivers(status(503, f"Retry-After: {value}")).url()).retry_after == seconds


def test_retry_after_as_a_date(receivers):
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 600))
    assert 500 < post(receivers(status(429, f"Retry-After: {later}")).url()).retry_after <= 600


def test_a_name_is_looked_up_once_at_a_time():
    async def run():
        names = Names()
        try:
            first, second = names("localhost", 80), names("localhost", 80)
            return await first, await second
        finally:
            names.close()

    first, second = asyncio.run(run())
    assert first is second
    assert all(address.is_loopback for address in first)
