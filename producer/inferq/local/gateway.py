"""The HTTP gateway of this machine: whether it can run, where it is, and the key for it."""

from __future__ import annotations

import http.client
import importlib.util
import ipaddress
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferq.local.pages import reachable
from inferq_core.errors import GatewayError
from inferq_core.keys import digest_of, id_in, is_valid, new_key
from inferq_core.private import private_folder, write_once
from inferq_core.settings import Settings
from inferq_core.store.contract import Store
from inferq_core.store.records import KeyScope, NewKey

COMMAND = [sys.executable, "-m", "inferq.cli.main", "gateway"]
KEY_NAME = "local"
# Seconds to find out whether it is there, and beside what it is let wait for an answer.
LOOK_SECONDS = 2.0
ANSWER_SECONDS = 30.0


def installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("fastapi", "httptools", "uvicorn"))


def url(settings: Settings) -> str:
    host = reachable(settings.gateway_address)
    return f"http://[{host}]:{settings.gateway_port}" if ":" in host else f"http://{host}:{settings.gateway_port}"


def is_ready(settings: Settings) -> bool:
    """Whether it answers that it can take work."""
    connection = _connection(settings, LOOK_SECONDS)
    try:
        connection.request("GET", "/v1/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def local_key(settings: Settings, store: Store) -> Path | None:
    """The file (0600, under the home) with a key that may do everything; one that the store knows is kept.

    None when the gateway is reached from other machines: who may use it is then for people to say. Raises
    SettingsError when the folder is not private.
    """
    if not _is_loopback(settings.gateway_address):
        return None
    file = private_folder(settings.make_home() / "gateway") / "key"
    kept = file.read_text().strip() if file.exists() else ""
    key_id = id_in(kept)
    if key_id is None or not is_valid(store.key(key_id), kept):
        file.unlink(missing_ok=True)
        key_id, text = new_key()
        write_once(file, f"{text}\n")  # before the store knows it: a key that nobody has is never good
        store.add_key(NewKey(key_id, KEY_NAME, digest_of(text), [KeyScope.ADMIN], None))
    return file


def predict(settings: Settings, key_file: Path | None, model: str, inputs: Sequence[Any], wait: int) -> dict[str, Any]:
    """A prediction by HTTP as the gateway answers it. Raises GatewayError."""
    headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}"}
    if key_file is not None:
        headers["Authorization"] = f"Bearer {key_file.read_text().strip()}"
    connection = _connection(settings, wait + ANSWER_SECONDS)
    try:
        connection.request("POST", _path(model), json.dumps({"inputs": inputs}), headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise GatewayError(f"the gateway at {url(settings)} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise GatewayError(f"the gateway answers with {answer.status}: {body[:200].decode(errors='replace')}")
    told: dict[str, Any] = json.loads(body)
    return told


def curl(settings: Settings, key_file: Path | None, model: str, inputs: Sequence[Any], wait: int) -> str:
    """The same for a terminal; the key is read when it runs and stands in no history."""
    bearer = "" if key_file is None else f" -H \"Authorization: Bearer $(cat '{key_file}')\""
    return (
        f"curl {url(settings)}{_path(model)}{bearer} -H 'Content-Type: application/json' -H 'Prefer: wait={wait}' "
        f"-d '{json.dumps({'inputs': inputs})}'"
    )


def _path(model: str) -> str:
    return f"/v1/models/{model}/predictions"


def _connection(settings: Settings, timeout: float) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(reachable(settings.gateway_address), settings.gateway_port, timeout=timeout)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
