"""Why ONNX does not compute a version's predictions."""

from __future__ import annotations


class NotServed(Exception):
    """ONNX cannot, or should not, stand for an estimator. The text is kept with the version."""


class OnnxUnavailable(Exception):
    """This installation cannot run a converted artifact that is in order; scikit-learn can answer instead."""


def brief(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    text = str(error).strip().split("\n", 1)[0][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def extra_missing(error: ImportError) -> str:
    """What to say of a package of the extra that cannot be imported."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install 'inferq[onnx]'"
    return f"{error.name or 'a package of the extra onnx'} cannot be imported: {error}"
