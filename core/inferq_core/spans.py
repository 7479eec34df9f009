"""What `tracing` does where OpenTelemetry is installed: its SDK, sending over OTLP/HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata
from itertools import islice
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inferq_core.tracing import MAX_LINKS, Kind

# What the SDK calls a service that nobody named.
_UNNAMED = "unknown_service"
_NANOSECONDS = 1_000_000_000


class Spans:
    def __init__(self, service: str) -> None:
        version = metadata.version("inferq")
        resource = Resource.create({SERVICE_VERSION: version})
        if str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        # Whoever starts it also ends it; the SDK's own exit handler may wait for half a minute.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("inferq", version)
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        self._provider.shutdown()

    def span(
        self,
        name: str,
        callers: Iterable[str] | None,
        kind: Kind,
        began: float | None,
        attributes: Mapping[str, str | int],
    ) -> AbstractContextManager[Any]:
        context, links = None, None
        if callers is not None:
            known = [self._context(caller) for caller in islice(callers, MAX_LINKS)]
            context = known[0] if len(known) == 1 else Context()
            links = [trace.Link(trace.get_current_span(each).get_span_context()) for each in known[1:] and known]
        return self._tracer.start_as_current_span(  # type: ignore[no-any-return]
            name,
            context,
            trace.SpanKind[kind.name],
            {f"inferq.{name}": value for name, value in attributes.items()},
            links,
            None if began is None else int(began * _NANOSECONDS),
        )

    def here(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")

    def fail(self, span: trace.Span) -> None:
        span.set_status(trace.StatusCode.ERROR)

    def _context(self, traceparent: str) -> Context:
        return self._propagator.extract({"traceparent": traceparent}, Context())
