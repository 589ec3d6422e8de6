"""What every script does alike: bad input, a disk that fails, and a signal end in one line each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from whales.base import locks
from whales.base.chatter import Quieted
from whales.base.concurrency import end_helpers
from whales.base.console import drop_output, log_error
from whales.base.errors import UserError
from whales.base.stopping import Heeded, at_once, requested
from whales.base.writing import environment_fault
from whales.stages.own_project import require_own_project


def run(main: Callable[[], object]) -> None:
    """Call a stage's `main`; a `UserError` becomes one line on stderr and exit code 2.

    The script must be of the project whose library it imports.

    So do faults of the disk and of rights, which can come from anywhere. A reader of the output that
    has gone, such as `head`, ends the program without a word. SIGINT, SIGTERM and SIGHUP end it with one
    line and 128 + signal (`whales.base.stopping`). What libraries say of themselves is kept back
    (`whales.base.chatter`), but for `--verbose`.
    """
    with Quieted() as quieted:
        at_once(quieted.all_is_well)
        _run(main)


def _run(main: Callable[[], object]) -> None:
    # TensorFlow leaves oneDNN out on CPUs without AVX-512; a training step is 10 to 40% faster with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        require_own_project()
        with Heeded():
            main()
    except UserError as error:
        log_error(str(error))
        sys.exit(2)
    except BrokenPipeError:
        drop_output()
        sys.exit(1)
    except OSError as error:
        fault = environment_fault(error)
        if fault is None:
            raise
        drop_output()
        log_error(fault)
        sys.exit(2)
    finally:
        locks.release_all()
        if requested():
            end_helpers()
