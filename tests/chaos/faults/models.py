"""Models that misbehave: one poisoned job among 256, or one row in a thousand."""

from misbehaving import Exiter, Glutton, Indefinite, Raiser, Segfaulter, Short, Slow, Stuck

from faults.fault import Fault

AMONG = 256
MAX_DEATHS = 10


class _Poison(Fault):
    """255 of 256 succeed; the poisoned one fails alone, with the code that says why."""

    estimator: type
    code: str
    options: dict = {}  # noqa: RUF012 - read only
    poisoned = (100,)
    count = AMONG

    @property
    def model(self):
        return self.estimator.__name__.lower()

    def prepare(self, scene):
        scene.model(self.model, self.estimator(), **self.options)

    def load(self, scene):
        """Comes with the strike."""
        self._deaths = self._recorded(scene)

    def _recorded(self, scene):
        """Deaths so far. The last one is in the log when another process has taken its place."""
        scene.system.pool_processes(scene.worker)
        return scene.system.deaths(scene.worker)

    def strike(self, scene):
        scene.submit(self.count, self.model, poison=self.poisoned, code=self.code)

    def check(self, scene):
        deaths = self._recorded(scene) - self._deaths
        self.note = f"{deaths} processes died" if deaths else ""
        assert deaths <= MAX_DEATHS, f"{deaths} processes died of one poisoned job"
        assert scene.worker.poll() is None, "the worker died of a poisoned job"


class Exits(_Poison):
    name = "model calls os._exit"
    estimator, code = Exiter, "worker_lost"


class Segfaults(_Poison):
    name = "model segfaults"
    estimator, code = Segfaulter, "worker_lost"


class NeverEnds(_Poison):
    name = "model never ends (time limit)"
    estimator, code, options = Stuck, "time_limit", {"time_limit": 1.0}


class EatsMemory(_Poison):
    name = "model eats memory (bounded)"
    estimator, code = Glutton, "model_error"


class WrongLength(_Poison):
    name = "model answers too few rows"
    estimator, code = Short, "model_error"


class NotANumber(_Poison):
    name = "model answers NaN"
    estimator, code = Indefinite, "model_error"


class OneInAThousand(_Poison):
    name = "model raises on one row in a thousand"
    estimator, code = Raiser, "model_error"
    poisoned, count = (500, 1500), 2000


class OutlastsLease(Fault):
    """A batch that takes longer than its lease keeps it, because it renews it: every job has one attempt."""

    name = "batch outlasts its lease"

    def prepare(self, scene):
        scene.model("patient", Slow(1.5 * scene.pace.lease), max_batch_rows=256)

    def load(self, scene):
        """Comes with the strike."""

    def strike(self, scene):
        self._jobs = scene.submit(AMONG, "patient")

    def check(self, scene):
        results = scene.system.store.results([job.id for job in self._jobs])
        assert {result.attempt for result in results.values()} == {1}, "a lease was not renewed"


FAULTS = [
    Exits,
    Segfaults,
    NeverEnds,
    EatsMemory,
    WrongLength,
    NotANumber,
    OneInAThousand,
    OutlastsLease,
]
