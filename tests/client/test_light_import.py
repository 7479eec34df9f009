"""An application that only submits carries no model libraries and no web framework."""

import subprocess
import sys

HEAVY = ("sklearn", "scipy", "pandas", "celery", "fastapi", "skops", "joblib", "alembic", "typer", "psycopg")


def test_importing_the_client_loads_nothing_heavy():
    code = f"import sys, inferq, inferq.aio; print([name for name in {HEAVY} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"


def test_importing_reads_no_settings_and_makes_no_folder(tmp_path):
    environment = {"HOME": str(tmp_path), "INFERQ_LEASE": "never", "INFERQ_HOME": str(tmp_path / "home")}
    import os

    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", "import inferq"], check=True, env={**environment, "PYTHONPATH": path})
    assert list(tmp_path.iterdir()) == []


def test_the_testing_client_says_what_it_needs():
    code = "import sys; sys.modules['sklearn'] = None; import inferq.testing"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert output.splitlines()[-1] == "ImportError: inferq.testing needs sklearn: pip install 'inferq[worker]'"


def test_the_http_client_says_what_it_needs():
    code = "import sys; sys.modules['httpx'] = None; import inferq.http"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert output.splitlines()[-1] == "ImportError: inferq.http needs httpx: pip install 'inferq[http]'"
