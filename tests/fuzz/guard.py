"""Proof that nothing of an input runs: what Python reports to audit hooks while one is read.

https://docs.python.org/3/library/audit_events.html
"""

import os
import sys
import sysconfig
import threading
from contextlib import contextmanager

FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "subprocess.Popen",
    "pickle.find_class",
    "marshal.load",
    "ctypes.dlopen",
    "ctypes.dlsym",
    "socket.connect",
    "socket.getaddrinfo",
    "shutil.",
)
# Whose types an artifact may name without anybody's approval, and what their modules import; nothing else is imported.
LIBRARIES = frozenset(
    {
        *("sklearn", "numpy", "scipy", "joblib", "skops", "pandas"),
        *("typer", "rich", "pygments", "markdown_it", "mdurl", "linkify_it"),  # the help of a command comes late
        *sys.stdlib_module_names,
    }
)
_STDLIB = sysconfig.get_path("stdlib")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# The thread that reads an input; the others of the process are none of ours.
_state = {"thread": None, "seen": []}


class Ran(BaseException):
    """No Exception, so that no handler of the code under test takes it for a damaged input."""


def _is_library(path):
    """Whether code from there is of a library. `importlib.import_module` reports no import, only what it executes."""
    if path.startswith("<frozen"):
        return True
    _, installed, inner = path.rpartition("/site-packages/")
    if installed:
        return inner.partition("/")[0].removesuffix(".py") in LIBRARIES
    return path.startswith(_STDLIB)


def _judge(event, args):
    """What is wrong with the event, or None."""
    if event.startswith(FORBIDDEN) and not (event.startswith("marshal.load") and _importing()):
        return f"{event} {args!r:.200}"
    # Libraries make named tuples and data classes from text while they are imported.
    made = event == "exec" and args[0].co_filename == "<string>" and _importing()
    if event == "exec" and not made and not _is_library(args[0].co_filename):
        return f"exec of {args[0]!r:.200}"
    if event == "import" and args[0].partition(".")[0] not in LIBRARIES | set(sys.modules):
        return f"import of {args[0]!r:.200}"
    if event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
        return f"writing {args[0]!r:.200}"
    return None


def _importing():
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _hook(event, args):
    thread = _state["thread"]
    if thread is None or thread != threading.get_ident():
        return
    _state["thread"] = None  # what the judging itself does is not judged
    try:
        wrong = _judge(event, args)
    finally:
        _state["thread"] = thread
    if wrong:
        _state["seen"].append(wrong)
        raise Ran(wrong)


sys.addaudithook(_hook)


@contextmanager
def nothing_runs():
    """Raise Ran when anything within runs code, starts a process, imports a stranger, connects or writes."""
    _state["seen"].clear()
    _state["thread"] = threading.get_ident()
    try:
        yield
    finally:
        _state["thread"] = None
    if _state["seen"]:
        raise Ran("; ".join(_state["seen"]))
