"""What reads input from outside. A target makes one input from random numbers, and reads it: True when it is taken,
False when one of our own errors refuses it. Anything else that comes out is a defect."""

import contextlib
import io
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import orjson
import skops.io
import typer
from mutations import flipped, noise, odd, rezipped, swapped, text
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from inferq.cli.main import app
from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import InferqError
from inferq_core.ids import JobId
from inferq_core.messages import HEADER, JobMessage, Limits, decode, store_of
from inferq_core.settings import Settings, load_settings, redact
from inferq_core.signature import Signature
from inferq_core.states import Method, Priority
from inferq_models.formats import Format, open_artifact, unapproved_types
from inferq_models.runtimes.graphs import check_graph

MAX_BYTES = 4 << 20
# Always the same, so that the same random numbers make the same input.
JOB = JobId("01890a5d-ac96-774b-bcce-b302099a8057")


@dataclass(frozen=True)
class Target:
    name: str
    share: float  # of the inputs of a long run
    make: Callable[[Any], Any]
    read: Callable[[Any], Any]

    def taken(self, value):
        try:
            self.read(value)
        except (InferqError, typer.TyperException):
            return False
        return True


@cache
def _message():
    return JobMessage("store", "digits", [JOB] * 3, 5, "predictions", Priority.BULK, 12.5, Limits(9, 30.0, 0.1))


def make_message(random):
    body, headers = _message().body(), _message().headers()
    kind = random.randrange(4)
    if kind == 0:
        body = random.choice((flipped(random, body), noise(random), orjson.dumps([[text(random), []], {}, {}])))
    elif kind == 1:
        with contextlib.suppress(TypeError):  # what JSON cannot hold cannot arrive
            body = orjson.dumps(swapped(random, orjson.loads(body)))
    elif kind == 2:
        headers[HEADER] = swapped(random, headers[HEADER])
    else:
        headers[random.choice((*headers, "traceparent"))] = odd(random)
    return body, headers


def read_message(value):
    body, headers = value
    store_of(headers)
    decoded = decode(body, headers, "store")
    orjson.dumps([decoded.n_rows, decoded.limits.max_batch_rows, decoded.published_at, decoded.group_limit])


SIGNATURE = Signature(
    Layout.FRAME,
    (
        Column("a", Kind.NUMERIC, "float64", nullable=True),
        Column("b", Kind.CATEGORICAL, "category", categories=("x", "y")),
    ),
    (Method.PREDICT, Method.PREDICT_PROBA),
    classes=("no", "yes"),
)


def make_signature(random):
    """A signature's text, and rows for it."""
    document = SIGNATURE.to_json()
    kind = random.randrange(3)
    if kind == 0:
        document = flipped(random, document.encode()).decode(errors="replace")
    elif kind == 1:
        with contextlib.suppress(TypeError):
            document = orjson.dumps(swapped(random, orjson.loads(document))).decode()
    rows = [{"a": 1.5, "b": "x"}, {"a": None, "b": "y"}]
    return document, random.choice((swapped(random, rows), odd(random), rows))


def read_signature(value):
    document, rows = value
    Signature.from_json(document).check(rows, max_rows=100)


SETTINGS = sorted(Settings.model_fields)


def make_settings(random):
    names = random.sample(SETTINGS, random.choice((1, 1, 2, 4)))
    return {name: random.choice((text(random), str(odd(random)), odd(random))) for name in names}


def read_settings(value):
    settings = load_settings(**value)
    for shown in (settings.broker, settings.store, settings.artifacts):
        redact(shown)
    repr((settings, settings.home_path, settings.served_queues, settings.environment()))


@cache
def _archives():
    X, y = np.arange(40.0).reshape(10, 4) % 7, np.arange(10) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = (LogisticRegression().fit(X, y), DecisionTreeClassifier(max_depth=2).fit(X, y))
        return [
            skops.io.dumps(model)
            for model in (*models, make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y))
        ]


@cache
def _members(number):
    with zipfile.ZipFile(io.BytesIO(_archives()[number])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_archive(random):
    number = random.randrange(len(_archives()))
    if random.random() < 0.3:
        return random.choice((flipped(random, _archives()[number]), b"PK\x03\x04" + noise(random)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of entries of one name
        return rezipped(random, _members(number))


def read_archive(value):
    unapproved_types(value, max_bytes=MAX_BYTES)
    open_artifact(value, Format.SKOPS, (), trust_pickle=False, max_bytes=MAX_BYTES)


def make_pickle(random):
    """A call of os.system, in each of pickle's forms and damaged ones, where a pickle is not trusted."""
    evil = random.choice(
        (b"cos\nsystem\n(S'id'\ntR.", b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.")
    )
    return random.choice(list(Format)), random.choice((evil, flipped(random, evil)))


def read_pickle(value):
    kind, data = value
    open_artifact(data, kind, (), trust_pickle=False, max_bytes=MAX_BYTES)


@cache
def _graph():
    rows = helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 4])
    answers = helper.make_tensor_value_info("answers", TensorProto.DOUBLE, [None, 4])
    graph = helper.make_graph([helper.make_node("Identity", ["rows"], ["answers"])], "graph", [rows], [answers])
    return onnx.ModelProto.SerializeToString(helper.make_model(graph, ir_version=9))


def make_graph(random):
    return flipped(random, _graph())


@cache
def _commands():
    """Every command that does something, by its words."""
    found, rest = [], [((), typer.main.get_command(app))]
    while rest:
        words, command = rest.pop()
        inner = getattr(command, "commands", None)
        rest.extend(((*words, name), one) for name, one in (inner or {}).items())
        if not inner:
            found.append((words, command))
    return sorted(found, key=lambda one: one[0])


def make_command(random):
    number = random.randrange(len(_commands()))
    options = [option for one in _commands()[number][1].params for option in one.opts if option.startswith("-")]
    values = ("1", "0", "digits", "30d", "2026-01-01", "[1, 2]", "{}", JOB)
    words = [random.choice((*options, *values, str(odd(random)), text(random))) for _ in range(random.randrange(6))]
    return number, words


def read_command(value):
    """What the command line is, read as the command would; the command itself does not begin."""
    number, words = value
    names, command = _commands()[number]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(typer.Exit):
        command.make_context(" ".join(names), list(words))


TARGETS = (
    Target("message", 0.35, make_message, read_message),
    Target("signature and rows", 0.2, make_signature, read_signature),
    Target("settings", 0.1, make_settings, read_settings),
    Target("skops artifact", 0.15, make_archive, read_archive),
    Target("pickle", 0.05, make_pickle, read_pickle),
    Target("ONNX artifact", 0.1, make_graph, check_graph),
    Target("command line", 0.05, make_command, read_command),
)
