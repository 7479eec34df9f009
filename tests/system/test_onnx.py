"""Versions that ONNX serves, in real workers."""

import numpy as np
import pytest
from checks import finish, register_model
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inferq import JobFailed
from inferq_core.store.records import Runtime

X, CLASSES = make_classification(n_samples=900, n_features=8, n_informative=5, n_classes=3, random_state=3)
NAMES = np.array(["low", "medium", "high"])[CLASSES]


def register_forest(system):
    forest = RandomForestClassifier(30, random_state=3).fit(X[:600], NAMES[:600])
    version = register_model(system, "forest", forest, X[:60], runtime="onnx")
    assert version.runtime is Runtime.ONNX
    return forest, version


def events(system, name):
    return [entry for _, entry in system.store.read(limit=1000) if entry.event == name]


def test_predictions_equal_the_offline_ones(any_system):
    forest, _ = register_forest(any_system)
    any_system.start_worker()
    rows = X[600:]
    labels = any_system.client.submit_many("forest", rows)
    probabilities = any_system.client.submit("forest", rows, method="predict_proba")
    results = finish(any_system, labels)
    assert [results[job.id].outputs for job in labels] == [[label] for label in forest.predict(rows).tolist()]
    assert np.allclose(probabilities.result(timeout=60).outputs, forest.predict_proba(rows), rtol=0, atol=1e-12)
    assert {entry.fields["runtime"] for entry in events(any_system, "model_loaded")} == {"onnx"}


def test_other_methods_of_the_same_version_are_computed_by_scikit_learn(system):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:600], NAMES[:600])
    register_model(system, "linear", model, X[:60], runtime="onnx")
    system.start_worker()
    rows = X[600:610]
    decided = system.client.submit("linear", rows, method="decision_function").result(timeout=60)
    predicted = system.client.submit("linear", rows).result(timeout=60)
    assert decided.outputs == model.decision_function(rows).tolist()
    assert predicted.outputs == model.predict(rows).tolist()
    assert {entry.fields["runtime"] for entry in events(system, "model_loaded")} == {"onnx", "sklearn"}


def test_a_tampered_conversion_fails_its_jobs_and_not_the_worker(system):
    _, version = register_forest(system)
    artifact = system.settings.home_path / "artifacts" / "forest" / f"{version.onnx_digest}.onnx"
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(bytes(data))
    worker = system.start_worker()
    with pytest.raises(JobFailed, match="the ONNX artifact of forest version 1 was changed") as caught:
        system.client.submit("forest", X[:1]).result(timeout=60)
    assert caught.value.code == "artifact_rejected"
    register_forest(system)  # as a user would mend it
    assert system.client.submit("forest", X[:1], version=2).result(timeout=60).outputs
    assert worker.poll() is None


def test_a_worker_without_onnx_predicts_with_scikit_learn(system, tmp_path):
    forest, version = register_forest(system)
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "onnxruntime.py").write_text("raise ModuleNotFoundError('no onnxruntime', name='onnxruntime')\n")
    system.start_worker(PYTHONPATH=str(missing))
    rows = X[600:]
    jobs = system.client.submit_many("forest", rows)
    results = finish(system, jobs)
    assert [results[job.id].outputs for job in jobs] == [[label] for label in forest.predict(rows).tolist()]
    warnings = events(system, "onnx_unavailable")
    assert 1 <= len(warnings) <= system.settings.concurrency  # once a process
    assert (warnings[0].model, warnings[0].version, warnings[0].level) == ("forest", version.number, "warning")
    assert "onnxruntime is not installed" in warnings[0].fields["reason"]
