"""Messages that come twice or never: the client's way to the broker is what is wrong."""

from itertools import count

from faults.fault import Fault

ONE_IN = 100


class Faulty:
    """A doorbell that passes messages on as `bent` says."""

    def __init__(self, doorbell, bent):
        self._doorbell = doorbell
        self._bent = bent

    def publish(self, messages):
        self._doorbell.publish(self._bent(messages))

    def close(self):
        self._doorbell.close()


class _Messages(Fault):
    outage = True  # while the jobs are submitted one by one

    def load(self, scene):
        """Comes with the strike."""

    def strike(self, scene):
        intake = scene.system.client._intake
        good = intake._publisher
        intake._publisher = Faulty(good, self.bent)
        try:
            scene.submit(singly=True)
        finally:
            intake._publisher = good

    def bent(self, messages):
        raise NotImplementedError


class Doubled(_Messages):
    name = "every message delivered twice"

    def bent(self, messages):
        return [message for message in messages for _ in range(2)]


class Dropped(_Messages):
    name = "one message in a hundred dropped"

    def __init__(self):
        self._numbers = count(1)

    def bent(self, messages):
        return [message for message in messages if next(self._numbers) % ONE_IN]


FAULTS = [Doubled, Dropped]
