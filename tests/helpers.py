"""What several test modules do alike."""

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
