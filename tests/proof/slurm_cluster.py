"""A real Slurm of one node on this machine: no systemd, no accounting, two devices that are named like GPUs.

All of it lies in a folder of its own but two links in /etc/slurm, where the commands within jobs look.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ETC = Path("/etc/slurm")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel")
CPUS, GPUS = 8, 2

CONFIGURATION = """
ClusterName=whales
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SchedulerType=sched/backfill
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
# The end of a job is read from squeue: it must be shown for a while.
MinJobAge=600
KillWait=10
ReturnToService=2
SlurmdTimeout=60
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=200000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=work Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here, "" where there can."""
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        return f"needs Slurm (Debian: slurmctld slurmd munge); missing: {', '.join(lacking)}"
    if (ETC / "slurm.conf").exists():
        return f"leaves the Slurm alone that {ETC}/slurm.conf tells of"
    if os.getuid() != 0:
        return "needs root, to run slurmd"
    try:
        import snakemake_executor_plugin_slurm  # noqa: F401
    except ImportError:
        return "needs requirements-cluster.txt"
    return ""


class Cluster:
    """The daemons, while they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen] = {}

    def lay_out(self) -> None:
        """Keys, configuration, and devices that are named like GPUs."""
        for name in ("munge", "state", "spool", "devices"):
            (self.folder / name).mkdir(mode=0o755)
        (self.folder / "munge/key").write_bytes(os.urandom(128))
        (self.folder / "munge/key").chmod(0o600)
        for number in range(GPUS):
            os.mknod(self.folder / f"devices/nvidia{number}", 0o20666, os.makedev(1, 3))
        host = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(
            host=host, folder=self.folder, ports=_free_ports(2), cpus=CPUS, gpus=GPUS
        )
        (self.folder / "slurm.conf").write_text(text)
        devices = f"{self.folder}/devices/nvidia[0-{GPUS - 1}]"
        (self.folder / "gres.conf").write_text(
            f"NodeName={host} Name=gpu File={devices} Flags=nvidia_gpu_env\n"
        )
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)  # a link to nowhere that a killed test left
            (ETC / name).symlink_to(self.folder / name)

    def start(self, *names: str) -> None:
        """Start daemons and wait until the node can take jobs."""
        munge = self.folder / "munge"
        commands = {
            "munged": (
                *("munged", "--foreground", "--force", f"--key-file={munge}/key"),
                *(f"--socket={munge}/socket", f"--pid-file={munge}/pid"),
                *(f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
            ),
            "slurmctld": ("slurmctld", "-D", "-f", str(self.folder / "slurm.conf")),
            "slurmd": ("slurmd", "-D", "-f", str(self.folder / "slurm.conf")),
        }
        for name in names or commands:
            with open(self.folder / f"{name}.out", "a") as output:
                self._daemons[name] = subprocess.Popen(
                    commands[name],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            if name == "munged":
                _wait(lambda: (munge / "socket").exists(), "munged")
        _wait(lambda: self.call("sinfo", "-h", "-o", "%t") in ("idle", "mix", "alloc"), "the node")

    def kill(self, name: str) -> None:
        """Kill a daemon; what it has started goes on."""
        self._daemons[name].kill()
        self._daemons[name].wait()

    def call(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout.strip()

    def stop(self) -> None:
        """End all jobs and daemons, and take the links away."""
        self.call("scancel", "--user=root")
        with contextlib.suppress(AssertionError):
            _wait(lambda: not self.call("squeue", "-h", "-t", "R,CG,PD", "-o", "%i"), "jobs")
        for name in ("slurmd", "slurmctld", "munged"):
            daemon = self._daemons.get(name)
            if daemon and daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.wait(20)
                daemon.kill()
                daemon.wait()
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)


def _wait(ready, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} is not ready after {seconds:.0f} s"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextlib.contextmanager
def slurm() -> Iterator[Cluster]:
    """A running cluster."""
    # Short: the path of a socket has at most some hundred characters.
    with tempfile.TemporaryDirectory(prefix="slurm_") as folder:
        Path(folder).chmod(0o755)
        cluster = Cluster(Path(folder))
        cluster.lay_out()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


if __name__ == "__main__":
    with slurm() as running:
        print(running.call("sinfo", "-N", "-l"))
        print(running.call("srun", "--gpus=1", "bash", "-c", "echo GPU $CUDA_VISIBLE_DEVICES"))
        if sys.argv[1:]:
            subprocess.run(sys.argv[1:], env=running.environment, check=False)
