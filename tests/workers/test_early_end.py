"""A role that is told to end before it has begun, as the first process of a container: nobody else could end it."""

import os
import shutil
import subprocess
import sys

import psutil
import pytest

CAUSE = """
import sys
class Wait:
    def find_spec(self, name, *_):
        if name == "celery":
            print("importing", flush=True)
            sys.meta_path.remove(self)
            __import__("time").sleep(600)
sys.meta_path.insert(0, Wait())
"""


def no_namespaces():
    """Why there is no first process here, or None."""
    if shutil.which("unshare") is None:
        return "no unshare on this machine: install util-linux"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces of processes here: {tried.stderr.strip()}"


UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])


@pytest.mark.parametrize("role", ["worker", "keeper", "flower"])
def test_the_first_process_of_a_container_ends_while_it_imports(role, tmp_path):
    if reason := no_namespaces():
        pytest.skip(reason)
    (tmp_path / "sitecustomize.py").write_text(CAUSE)
    search_path = [str(tmp_path), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    outer = subprocess.Popen(
        [*UNSHARE, sys.executable, "-m", "inferq_workers", role],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path), "INFERQ_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert outer.stdout.readline() == "importing\n"
        (first,) = psutil.Process(outer.pid).children()
        first.terminate()
        assert outer.wait(60) == 143
    finally:
        outer.kill()
        outer.wait(20)
        outer.stdout.close()
