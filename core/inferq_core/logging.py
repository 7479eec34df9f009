"""Log records have an `event` name and fields. They go through the standard library, so that applications decide."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import Processor

# Fields of every record that is logged in this context, such as those of the request that is answered in it.
bound: ContextVar[Mapping[str, Any] | None] = ContextVar("bound", default=None)


def get_logger(name: str) -> Any:
    """A logger whose methods take an event name and fields: `log.warning("publish_failed", jobs=3)`.

    The fields are attributes of the standard library's record (`extra`). Without any configuration, warnings show as
    the standard library shows them: on stderr, by their event.
    """
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _add_bound, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _add_bound(_: Any, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {**(bound.get() or {}), **fields}


def configure_logging(level: str, renderer: Processor | None = None) -> None:
    """Send all records of this process to stderr, one line each; by default a JSON object."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer or structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
