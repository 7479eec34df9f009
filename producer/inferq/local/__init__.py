"""The whole system on this machine: an embedded broker, child processes, and the demonstration."""
