"""What all faults have in common."""


class Unfit(Exception):
    """This fault cannot be made here; the message says why."""


class Fault:
    """One way to hurt a scene. `strike` returns when the cause is over; what it did may still have to be mended."""

    name: str
    backends = ("sqlite", "postgresql")
    # An outage is over when `strike` returns, and recovery counts from there; else it counts from the strike.
    outage = False
    # What the table should say besides the numbers of every fault.
    note = ""

    def prepare(self, scene):
        """Once, before the first strike. Raises Unfit."""

    def load(self, scene):
        """Jobs in flight when the fault strikes."""
        scene.submit_until_in_flight()

    def strike(self, scene):
        raise NotImplementedError

    def check(self, scene):
        """After recovery: what this fault must not have done besides."""

    def clean_up(self, scene):
        """Once, after the last strike, whatever happened."""
