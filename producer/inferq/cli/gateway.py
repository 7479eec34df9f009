"""`inferq gateway`."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import echo

from inferq.cli.help import ROLES, Command, examples
from inferq_core.errors import SettingsError
from inferq_core.settings import load_settings


def add_to(app: typer.Typer) -> None:
    lines = examples("inferq gateway", "inferq gateway --port 8080")
    app.command(cls=Command, epilog=lines, rich_help_panel=ROLES)(gateway)


def gateway(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Address to listen on; another than this machine's loopback needs keys.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port to listen on; 0 is any free one.", show_default="8000"
        ),
    ] = None,
) -> None:
    """Serve predictions over HTTP, until SIGTERM or Ctrl-C: any language can enqueue, poll and wait.

    POST rows to /v1/models/MODEL/predictions and get an id; /openapi.json describes everything. Defaults come from
    INFERQ_GATEWAY_ADDRESS and INFERQ_GATEWAY_PORT.
    """
    from inferq.local.gateway import installed

    if not installed():
        raise SettingsError("a gateway needs more than this installation has: pip install 'inferq[gateway]'")
    settings = load_settings()

    from inferq.gateway.serving import serve

    where = settings.gateway_address if host is None else host
    serve(settings, where, settings.gateway_port if port is None else port, echo)
