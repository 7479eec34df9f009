"""Python imports this in the workers of these tests: faults that no message can ask for."""

import os
import signal
from pathlib import Path

died = os.environ.get("INFERQ_TEST_DIE_BEFORE_CLAIM")
if died:
    from inferq_workers.execution import Executor

    run = Executor.run

    def die_once(self, *arguments):
        try:
            Path(died).touch(exist_ok=False)  # of two processes that start together, one dies
        except FileExistsError:
            return run(self, *arguments)
        return os.kill(os.getpid(), signal.SIGKILL)

    Executor.run = die_once

stuck = os.environ.get("INFERQ_TEST_STUCK")
if stuck:
    from inferq_workers.transport import Channel

    start_fetching = Channel._brpop_start
    first = []

    def fetch_nothing(self, *arguments, **options):
        first.append(self)
        if stuck == "always" or self is first[0]:
            return None
        return start_fetching(self, *arguments, **options)

    Channel._brpop_start = fetch_nothing
