"""The HTTP gateway: any language can enqueue, poll and wait. The same client inside (extra `gateway`)."""
