"""Keys that may change models, and what changes leave in the log."""

from inferq_core.keys import digest_of, new_key
from inferq_core.store.records import KeyScope, NewKey


def key_of(store, *scopes, models=None):
    """The id of a new key, and headers with it."""
    key_id, text = new_key()
    store.add_key(NewKey(key_id, "test", digest_of(text), scopes or [KeyScope.ADMIN], models))
    return key_id, {"Authorization": f"Bearer {text}"}


def logged(store, model="sums"):
    return [(entry.event, entry.fields) for _, entry in store.read(model=model)]
