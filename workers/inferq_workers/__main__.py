"""`python -m inferq_workers worker|keeper|deliverer|flower`: what the `inferq` commands of these names run."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

EXIT_TERMINATED = 128 + signal.SIGTERM


def end(number: int, _frame: Any) -> None:
    """End as without a handler. The first process of a container cannot: to it the system's default does nothing."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(EXIT_TERMINATED)


def main() -> int:
    # Until Celery, or Flower, has its own: nothing has begun that would have to be ended in order.
    signal.signal(signal.SIGTERM, end)
    from inferq_workers import roles  # noqa: PLC0415 - takes seconds, in which the handler must be there

    return roles.main()


if __name__ == "__main__":
    sys.exit(main())
