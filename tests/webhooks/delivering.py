"""A whole system that delivers: a worker and a deliverer as processes, a gateway in a thread."""

from contextlib import ExitStack

from checks import register_model, rows_for
from harness import running, wait_for
from misbehaving import Raiser
from served import ServedHere, accepted

PATIENCE = 60
# Seconds between tries, which the published schedule has as hours.
SOON = ",".join(["0.3"] * 9)


class Delivering(ExitStack):
    def __init__(self, folder, redis_binary, **settings):
        super().__init__()
        options = {"webhook_allow": "127.0.0.0/8", "webhook_retries": SOON, "webhook_timeout": 8.0, **settings}
        self.system = self.enter_context(running(folder, redis_binary, None, **options))
        register_model(self.system, "sum", Raiser())
        self.system.start_worker()
        self.deliverer = self.start_deliverer()
        self.http = self.enter_context(ServedHere(self.system))

    @property
    def store(self):
        return self.system.store

    def start_deliverer(self):
        return self.system.start_deliverer()

    def predict(self, url, **webhook):
        """The id of a prediction whose end is told to `url`."""
        rows = rows_for(1).tolist()
        return accepted(self.http, rows=rows, model="sum", webhook={"url": url, **webhook})

    def deliveries(self, **filters):
        answer = self.http.get("/v1/webhooks/deliveries", params={"limit": 200, **filters})
        assert answer.status_code == 200, answer.text
        return answer.json()["deliveries"]

    def ended(self, job_id):
        """The delivery about the prediction, once it has ended."""

        def look():
            return next((one for one in self.deliveries(prediction=job_id) if one["state"] != "pending"), None)

        return wait_for(look, timeout=PATIENCE, what="the delivery to end")
