"""The role `deliverer`: webhooks and the event stream, out of the store's outbox."""
