"""The garbage collector of a busy process."""

from __future__ import annotations

import gc

# Objects made before the youngest are looked at, and how many such looks before the older are (Python: 700, 10, 10).
THRESHOLDS = (20_000, 20, 20)


def spare_collections() -> None:
    """Leave alone what was made so far, and look less often.

    Messages and jobs make many objects that live briefly and in no cycles. Looking at all of Celery, scikit-learn and
    the models again and again took half of the time of a main process under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
