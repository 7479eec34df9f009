"""The endpoint that every team writes by hand, written with care: FastAPI, the model loaded once per process.

`predict` answers from the model, in a thread, and stores nothing. `accept` is the twin of our route that reads the same
form and answers with a constant. Its setting comes from the environment: BENCH_MODELS.
"""

import os
from pathlib import Path
from typing import Any

import joblib
from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel

models = {path.stem: joblib.load(path) for path in Path(os.environ["BENCH_MODELS"]).glob("*.joblib")}
app = FastAPI()
ACCEPTED = b'{"id":"01977d5c-6a3f-7c1e-9d0a-3f1f4c6b2a10","model":"rf","state":"queued","eta_seconds":0.1}'


class Rows(BaseModel):
    inputs: list[list[float]]


class Prediction(BaseModel):
    inputs: list[Any]
    version: int | str | None = None
    method: str = "predict"
    priority: str = "normal"
    deadline_seconds: float | None = None
    routing_key: str | None = None
    metadata: dict[str, Any] | None = None


@app.post("/predict/{model}")
def predict(model: str, asked: Rows):
    return {"outputs": models[model].predict(asked.inputs).tolist()}


@app.post("/v1/models/{model}/predictions", status_code=202)
async def accept(model: str, asked: Prediction):  # noqa: ARG001  # read, as ours are
    return Response(ACCEPTED, 202, media_type="application/json")
