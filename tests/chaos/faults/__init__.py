"""Every fault, in the order in which a campaign strikes them: the hosts of the last ones stay until the end."""

from faults import backlog, broker, messages, models, network, processes, store

ALL = [
    *processes.FAULTS,
    *broker.FAULTS,
    *store.FAULTS,
    *messages.FAULTS,
    *models.FAULTS,
    *network.FAULTS,
    *backlog.FAULTS,
]
