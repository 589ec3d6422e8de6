"""Keras's backend, seen to before any framework is loaded: that it is there, what it keeps, its threads."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from pathlib import Path

from whales.base.errors import UserError
from whales.files.workspace import Workspace

BACKENDS = ("tensorflow", "jax", "torch")


def prepare_backend(workspace: Workspace, threads: int | None) -> None:
    """Check the backend that `KERAS_BACKEND` names, and set what it reads from the environment.

    threads: of one operation on a CPU, None for as many as the backend likes. What the environment says
    already stays. `UserError` for a backend that is unknown or not installed.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise UserError(f"KERAS_BACKEND is one of {', '.join(BACKENDS)}; received {backend!r}")
    # TensorFlow comes with the project.
    if backend != "tensorflow" and importlib.util.find_spec(backend) is None:
        raise UserError(
            f"KERAS_BACKEND is {backend}, which is not installed: "
            "pip install -r requirements-backends.txt, or unset KERAS_BACKEND"
        )
    if threads is not None:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
        if backend == "torch":
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if backend == "jax":
        folder = workspace.file("compiled_by_jax", machine=_machine())
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        # Most of a net's hundred programs are compiled in less than the second from which JAX keeps them.
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def _machine() -> str:
    """Names the kind of processor: another one may lack instructions that a compiled program uses."""
    kind = [platform.machine(), platform.processor()]
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        kind += sorted({line for line in lines if line.startswith(("flags", "Features"))})
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:12]
