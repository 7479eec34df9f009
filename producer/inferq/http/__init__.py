"""inferq over HTTP: the verbs of `inferq.Client` and `inferq.aio.AsyncClient`, with nothing but httpx.

from inferq.http import HttpClient

with HttpClient("https://inferq.example", key="inferq_…") as client:
    job = client.submit("digits", rows)
    print(job.result(timeout=10).outputs)

Methods, results and errors are those of the other clients. What is different:

- Importing it loads no SQLAlchemy, Redis, numpy or pydantic; DataFrames and arrays may be submitted all the same.
- A gateway that does not answer, answers 503 or limits the rate is asked again for `retry_for` seconds, with back-off.
  Every submit carries an idempotency key, so nothing is enqueued twice. BacklogFull is raised at once.
- The `…_many` verbs are all or none for each request: 10,000 items or 8 MiB of `submit_many`, 500 ids of the others.
- Whose a job is says the key: `owner` is refused. `Result.batch_id` is None.
"""

from __future__ import annotations

try:
    from inferq.http.aio import AsyncHttpClient
    from inferq.http.client import HttpClient
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ImportError("inferq.http needs httpx: pip install 'inferq[http]'") from error

__all__ = ["AsyncHttpClient", "HttpClient"]
