"""What several test modules do alike."""

import pickle

import pytest

from whales.base.errors import UserError


def write_lines(path, *lines):
    """Write a text file, and the folder it lies in; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refused(call, *parts):
    """The call is refused in one line that says all of `parts`."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def write(root, name, content):
    """Write a file of a work root: text, bytes, or any other content as a pickle; returns its path."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
    return path


def goes_on_from_kept_costs(path, whole):
    """A round of mining goes on from the costs that were kept as it would have without a stop."""
    import numpy as np

    from whales.training.mining import keep_costs, mine_epoch

    keep_costs(path, whole)
    epochs = [whole.next_epoch() for _ in range(3)]
    for done in range(3):
        np.testing.assert_array_equal(mine_epoch(path, epochs[:done]), epochs[done])
