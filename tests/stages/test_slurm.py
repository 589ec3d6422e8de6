"""The pipeline on a real Slurm of this machine: stages are killed, jobs cancelled, the node's daemon lost."""

import subprocess
import sys

import pytest
from proof import slurm_cluster


@pytest.mark.slow
def test_kills_on_slurm_change_no_file(repository):
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(reason)
    command = [sys.executable, repository / "tests/proof/slurm_kills.py", "--one-each"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("kill -9 of the stage", "scancel of its job", "kill -9 of slurmd, started again"):
        assert done.stdout.count(f"| {what} |") == 1
    assert "files that differ from stages run by hand: 0" in done.stdout
