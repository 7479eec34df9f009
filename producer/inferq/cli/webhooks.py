"""`inferq webhooks`."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import Annotated, Any

import typer
from typer import echo

from inferq.cli.help import Command, Group, examples
from inferq.cli.options import AsJson, Model, OnlyModel
from inferq.cli.output import print_json, print_table
from inferq.cli.times import iso
from inferq.options import check_ends
from inferq_core.receivers import parse_receiver
from inferq_core.settings import load_settings
from inferq_core.signing import ROTATION_SECONDS, STORE_SECRET, new_secret, secret_of_webhook
from inferq_core.store import open_store
from inferq_core.store.webhook_records import Delivery, DeliveryState, NewWebhook, WebhookRecord

app = typer.Typer(
    cls=Group,
    help="""Tell other systems how jobs end: make and list webhooks of models, and see what was delivered.

    `inferq deliverer` posts a signed event to the URL for each job of the model that ends; docs/webhooks.md says how to
    verify it.""",
    no_args_is_help=True,
    epilog=examples(
        "inferq webhooks create digits https://example.com/hook", "inferq webhooks deliveries --state failed"
    ),
)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="Its id, as `inferq webhooks list` shows it.")]


@app.command(
    cls=Command,
    epilog=examples(
        "inferq webhooks create digits https://example.com/hook",
        "inferq webhooks create digits https://example.com/hook --state failed",
    ),
)
def create(
    model: Model,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted to.")],
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE",
            help="Only when a job ends like this: succeeded, failed, expired, cancelled. Several times for several.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """Make a webhook of a model and print its secret, once."""
    settings = load_settings()
    place = parse_receiver(url, settings.webhook_networks).place
    wanted = NewWebhook(secrets.token_hex(6), model, url, place, check_ends(state))
    fresh = new_secret()
    with closing(open_store(settings)) as store:
        made = store.add_webhook(wanted, fresh)
    echo(f"{made.id} {fresh}")
    echo("the secret is not shown again; `inferq webhooks rotate ID` makes another", err=True)


@app.command("list", cls=Command, epilog=examples("inferq webhooks list", "inferq webhooks list --model digits --json"))
def list_webhooks(model: OnlyModel = None, as_json: AsJson = False) -> None:
    """List the webhooks of all models, or of one."""
    with closing(open_store(load_settings())) as store:
        if model is not None:
            store.model(model)
        rows = [_webhook(record) for record in store.webhooks(model)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ("id", "model", "url", "states", "disabled"),
            [
                (row["id"], row["model"], row["url"], ",".join(row["states"] or ["*"]), row["disabled_reason"] or "")
                for row in rows
            ],
        )
    else:
        echo("no webhooks yet: inferq webhooks create MODEL URL")


@app.command(cls=Command, epilog=examples("inferq webhooks delete 4f1c09d2ab37"))
def delete(webhook_id: WebhookId) -> None:
    """Delete a webhook; what it was not told by now, it is not told."""
    with closing(open_store(load_settings())) as store:
        store.remove_webhook(webhook_id)
    echo(f"{webhook_id} is deleted")


@app.command(cls=Command, epilog=examples("inferq webhooks enable 4f1c09d2ab37"))
def enable(webhook_id: WebhookId) -> None:
    """Let a webhook be told again whose receiver had answered with 410."""
    with closing(open_store(load_settings())) as store:
        store.enable_webhook(webhook_id)
    echo(f"{webhook_id} is enabled")


@app.command(cls=Command, epilog=examples("inferq webhooks rotate 4f1c09d2ab37"))
def rotate(webhook_id: WebhookId) -> None:
    """Print a new secret of a webhook, once. For a day the one before signs as well."""
    fresh = new_secret()
    with closing(open_store(load_settings())) as store:
        store.rotate_secret(secret_of_webhook(store.webhook(webhook_id).id), fresh, keep=ROTATION_SECONDS)
    echo(fresh)


@app.command(cls=Command, epilog=examples("inferq webhooks secret", "inferq webhooks secret --rotate"))
def secret(
    *,
    rotate_it: Annotated[
        bool, typer.Option("--rotate", help="Make a new one; for a day the one before signs as well.")
    ] = False,
) -> None:
    """Print the secret that signs webhooks of single jobs that have no key: those of Client.submit(…, webhook=…).

    Each key of the gateway has one of its own: GET /v1/webhooks/secret.
    """
    fresh = new_secret()
    with closing(open_store(load_settings())) as store:
        if rotate_it:
            store.rotate_secret(STORE_SECRET, fresh, keep=ROTATION_SECONDS)
        echo(store.make_secret(STORE_SECRET, fresh)[0])


@app.command(
    cls=Command, epilog=examples("inferq webhooks deliveries", "inferq webhooks deliveries --state failed --json")
)
def deliveries(
    *,
    state: Annotated[
        DeliveryState | None,
        typer.Option(metavar="STATE", help="Only those that are pending, delivered or failed.", show_default="all"),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many, at the most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what is to be delivered and what was, the newest first."""
    with closing(open_store(load_settings())) as store:
        rows = [_delivery(one) for one in store.deliveries(state=state, limit=limit).deliveries]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            ("id", "job", "ended", "state", "attempts", "last"),
            [
                (
                    row["id"],
                    row["job_id"],
                    row["job_state"],
                    row["state"],
                    str(row["attempts"]),
                    row["error"] or row["status"] or "",
                )
                for row in rows
            ],
        )
    else:
        echo("no deliveries")


@app.command(cls=Command, epilog=examples("inferq webhooks replay 01977d5c-6a3f-7c1e-9d0a-3f1f4c6b2a10"))
def replay(
    delivery_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `inferq webhooks deliveries` shows it.")],
) -> None:
    """Send a delivery once more, whatever became of it. The event keeps its id."""
    with closing(open_store(load_settings())) as store:
        store.replay(delivery_id)
    echo(f"{delivery_id} is sent again")


def _webhook(record: WebhookRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "model": record.model,
        "url": record.url,
        "states": record.states,
        "created_at": iso(record.created_at),
        "disabled_at": None if record.disabled_at is None else iso(record.disabled_at),
        "disabled_reason": record.disabled_reason,
    }


def _delivery(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "event_id": one.event_id,
        "job_id": one.job_id,
        "job_state": one.job_state,
        "model": one.model,
        "webhook_id": one.webhook_id,
        "state": one.state,
        "attempts": one.attempts,
        "status": one.status,
        "error": one.error,
        "created_at": iso(one.created_at),
        "next_attempt_at": None if one.due_at is None else iso(one.due_at),
        "ended_at": None if one.ended_at is None else iso(one.ended_at),
    }
