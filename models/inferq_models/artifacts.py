"""Where artifacts lie: `<INFERQ_ARTIFACTS_URL>/<model>/<SHA-256>.<suffix>`, written once, checked at every reading.

A version has scikit-learn's artifact, whose suffix is its format, and beside it the converted one when ONNX serves it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from inferq_core.errors import ArtifactRejected, RegistrationRefused
from inferq_core.settings import Settings, redact
from inferq_core.store.records import Runtime, VersionRecord
from inferq_models.formats import Format

# It becomes a folder's name and a part of URLs: no separators, and no dot in front.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Seconds between tries when the storage does not answer; a file that is not there is not tried again.
_RETRIES = (0.2, 1.0)
# Bytes that are read at a time where the whole is not needed.
_PIECE = 1 << 20
ONNX_SUFFIX = "onnx"


@dataclass(frozen=True, slots=True)
class _Artifact:
    """One of a version's files, as the store has it."""

    title: str
    model: str
    uri: str
    digest: str
    suffix: str


def _artifact(version: VersionRecord, runtime: Runtime) -> _Artifact:
    title = f"artifact of {version.model} version {version.number}"
    if runtime is Runtime.SKLEARN:
        suffix = version.format if version.format in set(Format) else ""
        return _Artifact(f"the {title}", version.model, version.uri, version.digest, suffix)
    uri, digest = version.onnx_uri or "", version.onnx_digest or ""
    return _Artifact(f"the ONNX {title}", version.model, uri, digest, ONNX_SUFFIX)


def check_name(name: str) -> None:
    """Raise RegistrationRefused for a model name that cannot be part of a path and a URL."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RegistrationRefused(
            f"model name {name!r} is not allowed: begin with a letter or digit, then letters, digits, '.', '_' or '-', "
            "100 at most"
        )


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(artifacts_url: str, model: str, data: bytes, suffix: str) -> str:
    """Store the artifact under its digest and return its URI. The same bytes are stored once.

    The file appears whole or not at all. Raises RegistrationRefused when the folder cannot be written.
    """
    check_name(model)
    filesystem, root = _open_root(artifacts_url)
    digest = digest_of(data)
    path = f"{root.rstrip('/')}/{model}/{digest}.{suffix}"
    try:
        if not (filesystem.exists(path) and digest_of(filesystem.cat_file(path)) == digest):
            filesystem.makedirs(f"{root.rstrip('/')}/{model}", exist_ok=True)
            _write_whole(filesystem, path, data)
    except OSError as error:
        raise RegistrationRefused(
            f"the artifact cannot be written to {redact(str(path))}: {error}. Check INFERQ_ARTIFACTS_URL"
        ) from error
    return str(filesystem.unstrip_protocol(path))


def _open_root(artifacts_url: str) -> tuple[Any, str]:
    """The filesystem and the folder in it."""
    if artifacts_url.startswith("file:"):
        # fsspec takes "%20" in a file URL for a part of the name.
        artifacts_url = url2pathname(urlsplit(artifacts_url).path)
    filesystem, root = fsspec.core.url_to_fs(artifacts_url)
    return filesystem, root


def _write_whole(filesystem: Any, path: str, data: bytes) -> None:
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.pipe_file(path, data)  # object stores show an object only when it is complete
        return
    temporary = Path(f"{path}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(settings: Settings, version: VersionRecord, runtime: Runtime = Runtime.SKLEARN) -> bytes:
    """The bytes of the artifact that `runtime` reads, proven to be those that were registered.

    Raises ArtifactRejected when the file is missing, changed, larger than `max_artifact_bytes`, or not below the
    artifacts' URL.
    """
    artifact = _artifact(version, runtime)
    filesystem, path = _locate(settings.artifacts, artifact)
    data = _read_patiently(filesystem, path, artifact, settings.max_artifact_bytes)
    _require_digest(artifact, digest_of(data))
    return data


def verify(artifacts_url: str, version: VersionRecord) -> int:
    """The size in bytes of all the version's artifacts, after proving that they are what was registered.

    Reads in pieces. Raises ArtifactRejected as `read` does.
    """
    return sum(_verify(artifacts_url, _artifact(version, runtime)) for runtime in {Runtime.SKLEARN, version.runtime})


def _verify(artifacts_url: str, artifact: _Artifact) -> int:
    filesystem, path = _locate(artifacts_url, artifact)
    hashed, n_bytes = hashlib.sha256(), 0
    try:
        with filesystem.open(path, "rb") as file:
            while piece := file.read(_PIECE):
                hashed.update(piece)
                n_bytes += len(piece)
    except FileNotFoundError:
        raise _missing(artifact, path) from None
    except Exception as error:  # as in _read_patiently
        raise ArtifactRejected(f"{artifact.title} cannot be read from {redact(path)}: {error}") from error
    _require_digest(artifact, hashed.hexdigest())
    return n_bytes


def _require_digest(artifact: _Artifact, digest: str) -> None:
    if digest != artifact.digest:
        raise ArtifactRejected(
            f"{artifact.title} was changed after registration: SHA-256 is {digest}, expected {artifact.digest}. "
            "Register the model again"
        )


def _missing(artifact: _Artifact, path: str) -> ArtifactRejected:
    return ArtifactRejected(f"{artifact.title} is missing: there is no {redact(path)}. Register it again")


def _locate(artifacts_url: str, artifact: _Artifact) -> tuple[Any, str]:
    try:
        filesystem, root = _open_root(artifacts_url)
    except Exception as error:
        raise ArtifactRejected(f"INFERQ_ARTIFACTS_URL={redact(artifacts_url)} cannot be opened: {error}") from error
    wanted = f"{root.rstrip('/')}/{artifact.model}/{artifact.digest}.{artifact.suffix}"
    safe = _NAME.fullmatch(artifact.model) and _DIGEST.fullmatch(artifact.digest) and artifact.suffix
    if not safe or filesystem.unstrip_protocol(wanted) != artifact.uri:
        raise ArtifactRejected(
            f"{artifact.title} lies at {redact(artifact.uri)}, not below INFERQ_ARTIFACTS_URL="
            f"{redact(artifacts_url)}: set the URL that was used at registration, or register the model again"
        )
    if isinstance(filesystem, LocalFileSystem):
        _require_plain_file(artifact, Path(root), Path(wanted))
    return filesystem, wanted


def _require_plain_file(artifact: _Artifact, root: Path, path: Path) -> None:
    """The folder of all artifacts may be a link; nothing below it, and no pipe or device, which would never end."""
    if path.resolve() != root.resolve() / path.relative_to(root):
        raise ArtifactRejected(f"{artifact.title} is no file but a link: {path}. Register the model again")
    if path.exists() and not path.is_file():
        raise ArtifactRejected(f"{artifact.title} is no file: {path}. Register the model again")


def _read_patiently(filesystem: Any, path: str, artifact: _Artifact, max_bytes: int) -> bytes:
    for pause in (*_RETRIES, None):
        try:
            return _read_bounded(filesystem, path, artifact, max_bytes)
        except ArtifactRejected:
            raise
        except FileNotFoundError:
            raise _missing(artifact, path) from None
        except Exception as error:  # whatever a storage client raises: its own errors are not all OSError
            if pause is None:
                raise ArtifactRejected(f"{artifact.title} cannot be read from {redact(path)}: {error}") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _read_bounded(filesystem: Any, path: str, artifact: _Artifact, max_bytes: int) -> bytes:
    size = filesystem.size(path)
    if size > max_bytes:
        raise ArtifactRejected(
            f"{artifact.title} has more than {max_bytes:,} bytes. If it is meant to, raise INFERQ_MAX_ARTIFACT_BYTES"
        )
    # No further, should it grow meanwhile; and memory is taken for as much as is asked for.
    return bytes(filesystem.cat_file(path, end=size))
