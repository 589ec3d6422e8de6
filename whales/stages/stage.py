"""What every script does alike: bad input ends in one line and exit code 2, a signal in one line too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from whales.base import locks
from whales.base.concurrency import end_helpers
from whales.base.console import log_error
from whales.base.errors import UserError
from whales.base.stopping import Heeded, requested


def run(main: Callable[[], object]) -> None:
    """Call a stage's `main`; a `UserError` becomes one line on stderr and exit code 2.

    SIGINT, SIGTERM and SIGHUP end it with one line and 128 + signal (`whales.base.stopping`).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow leaves oneDNN out on CPUs without AVX-512; a training step is 10 to 40% faster with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        with Heeded():
            main()
    except UserError as error:
        log_error(str(error))
        sys.exit(2)
    finally:
        locks.release_all()
        if requested():
            end_helpers()
