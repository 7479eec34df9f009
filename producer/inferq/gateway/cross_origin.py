"""Pages of other origins, which a browser lets ask only where they are listed (CORS). By default none is."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What a page may send, and what of an answer it may read, beside what every page may.
SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "traceparent",
    "tracestate",
    "X-Request-ID",
)
READ = (
    "ETag",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
)


def let_in(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """`app`, also for pages of these origins. No cookies: a page must have a key, and send it itself."""
    return CORSMiddleware(app, allow_origins=origins, allow_methods=METHODS, allow_headers=SENT, expose_headers=READ)
