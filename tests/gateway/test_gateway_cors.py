"""Pages of other origins: nobody is let in who is not listed, and who is listed is let in no further than others."""

import pytest
from installation import Installation
from served import ROW, ServedHere, assert_problem

PAGE = "https://app.example"
SENT = ["authorization", "content-type", "prefer", "idempotency-key", "traceparent", "last-event-id", "if-none-match"]
READ = ["location", "etag", "preference-applied", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"]


def preflight(http, origin, method="POST", headers="authorization, content-type, idempotency-key"):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return http.options("/v1/models/sums/predictions", headers=asked)


def post(http, origin, **headers):
    return http.post("/v1/models/sums/predictions", headers={"Origin": origin, **headers}, json={"inputs": [ROW]})


@pytest.fixture
def listed(local):
    settings = local.settings.model_copy(update={"cors_origins": f"{PAGE},http://localhost:3000"})
    with ServedHere(Installation(local.client, local.store, settings)) as http:
        yield http


def words(answer, name):
    return {word.strip().lower() for word in answer.headers[name].split(",")}


def test_a_listed_page_asks_and_reads(listed):
    for origin in (PAGE, "http://localhost:3000"):
        told = preflight(listed, origin, headers=",".join(SENT))
        assert told.status_code == 200
        assert told.headers["access-control-allow-origin"] == origin
        assert words(told, "access-control-allow-headers") >= set(SENT)
        assert words(told, "access-control-allow-methods") == {"get", "post", "put", "patch", "delete"}
        answer = post(listed, origin, Prefer="wait=0")
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == origin
        assert words(answer, "access-control-expose-headers") >= set(READ)
        assert "access-control-allow-credentials" not in answer.headers
        assert words(answer, "vary") == {"origin"}
    # What goes wrong may be read as well.
    refused = listed.get("/v1/models/nobody", headers={"Origin": PAGE})
    assert_problem(refused, 404, "unknown-model")
    assert refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil.example", "http://app.example", f"{PAGE}:8443", "null"]
)
def test_any_other_page_is_told_nothing(listed, origin):
    for answer in (preflight(listed, origin), listed.get("/v1/models", headers={"Origin": origin})):
        assert "access-control-allow-origin" not in answer.headers
    assert preflight(listed, origin).status_code == 400
    assert preflight(listed, PAGE, headers="x-forwarded-for").status_code == 400
    assert preflight(listed, PAGE, method="TRACE").status_code == 400


def test_a_listed_page_still_has_to_name_this_machine(listed):
    """Without keys a name that was made to resolve to 127.0.0.1 is refused, whatever the page (DNS rebinding)."""
    assert_problem(post(listed, PAGE, Host="app.example"), 421, "wrong-host")


def test_without_a_list_there_is_no_cors(local_http):
    assert_problem(preflight(local_http, PAGE), 405, "method-not-allowed")
    answer = post(local_http, PAGE)
    assert answer.status_code == 202
    assert not [name for name in answer.headers if name.startswith("access-control")]
