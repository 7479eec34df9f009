"""What schemathesis has to be told: lines of JSON go as the text that they are."""

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/jsonl")
def lines_of_json(_, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
