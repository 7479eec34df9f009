"""Every fault once, on both stores: nothing is lost, nothing is doubled, and every answer is the offline one."""

import sys

import pytest
from campaign import scene_on, strike
from cluster import binaries
from faults import ALL
from scene import quick


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_no_fault_loses_or_doubles_a_job(backend, tmp_path, redis_binary):
    if backend == "postgresql" and binaries() is None:
        pytest.skip("no initdb and postgres: install PostgreSQL's server")
    with scene_on(backend, tmp_path, redis_binary, quick()) as scene:
        try:
            for fault in ALL:
                if backend not in fault.backends:
                    continue
                row = strike(scene, fault(), times=1)
                sys.stdout.write(f"{row}\n")
                assert not row.problems, f"{row.fault}: {'; '.join(row.problems)}"
                assert row.skipped or row.in_flight > 0, f"{row.fault} struck when nothing was in flight"
        except BaseException:
            sys.stderr.write(scene.system.logs())
            raise
