"""Is a character a letter, a mark, a number, …? The Unicode Character Database (in Python) as a mixed frame.

Strings with few values, with many, and missing ones stand next to numbers, so the model is a pipeline for mixed frames.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from inferq_models.examples.example import SEED, Example

NAME = "unicode"

KINDS = {"L": "letter", "M": "mark", "N": "number", "P": "punctuation", "S": "symbol"}
# Scripts of thousands of characters that differ in nothing but their number.
_REPETITIVE = ("CJK", "HANGUL SYLLABLE", "TANGUT", "EGYPTIAN", "CUNEIFORM", "NUSHU", "KHITAN", "ANATOLIAN", "BAMUM")
# Every so many characters one is taken, which leaves about 2,300.
_STEP = 12


def build() -> Example:
    """Rows are a DataFrame of strings, numbers, booleans and missing strings; the classes are strings."""
    frame = pd.DataFrame(_characters())
    kind = frame.pop("kind").tolist()
    X_train, X_test, y_train, y_test = train_test_split(frame, kind, test_size=0.5, stratify=kind, random_state=SEED)
    strings = ["script", "last_word", "bidirectional", "width", "decomposition"]
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False)
    columns = make_column_transformer((encoder, strings), remainder="passthrough")
    boosting = HistGradientBoostingClassifier(max_iter=15, max_leaf_nodes=15, random_state=SEED)
    pipeline = make_pipeline(columns, boosting).fit(X_train, y_train)
    return Example(NAME, pipeline, X_train, X_test, y_train, y_test)


def _characters() -> Iterator[dict[str, Any]]:
    named = (
        (chr(code), name)
        for code in range(sys.maxunicode + 1)
        if (name := unicodedata.name(chr(code), "")) and not name.startswith(_REPETITIVE)
    )
    for place, (character, name) in enumerate(named):
        kind = KINDS.get(unicodedata.category(character)[0])
        if kind is None or place % _STEP:
            continue
        words = name.split()
        tag, _, _ = unicodedata.decomposition(character).partition(" ")
        yield {
            "script": words[0],
            "last_word": words[-1],
            "words": len(words),
            "code": float(ord(character)),
            "bidirectional": unicodedata.bidirectional(character),
            "width": unicodedata.east_asian_width(character),
            "combining": unicodedata.combining(character),
            "mirrored": bool(unicodedata.mirrored(character)),
            "decomposition": tag if tag.startswith("<") else None,
            "kind": kind,
        }
