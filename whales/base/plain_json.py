"""JSON of files and requests: read here alone, bounded in size and depth, nothing odd taken silently."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from whales.base.errors import UserError

LARGEST = 256 << 20  # bytes of a file
DEEPEST = 64  # lists and objects in each other
_LONGEST_NUMBER = 40  # characters; whole numbers of that length still fit no computer's word
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class JSONFaultError(ValueError):
    """What is wrong with a text that should be JSON, in one line."""


def parse_json(text: str | bytes) -> Any:  # each caller knows, and checks, what it asks for
    """The value of a JSON text, UTF-8 with or without a mark at its beginning.

    `JSONFaultError` for what is no JSON, NaN and Infinity, numbers too large for a float or longer than
    `_LONGEST_NUMBER`, a key twice in one object, more than `DEEPEST` levels, and text that is no Unicode.

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    if not isinstance(text, str | bytes):
        raise JSONFaultError("it is no text")
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        _check_depth(text)
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_number,
            parse_int=_whole_number,
        )
    except (UnicodeDecodeError, RecursionError) as reason:
        raise JSONFaultError(" ".join(str(reason).split())) from reason
    except json.JSONDecodeError as reason:
        raise JSONFaultError(f"{reason.msg}, line {reason.lineno}") from reason


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """`parse_json` of a file of at most `largest` bytes.

    FileNotFoundError where there is none; `UserError` naming it where it is too large, cannot be read or
    is no JSON.
    """
    try:
        if not path.is_file() and path.exists():
            raise JSONFaultError("it is no file")
        with open(path, "rb") as source:
            content = source.read(largest + 1)
        if len(content) > largest:
            raise JSONFaultError(f"it is larger than {largest >> 20} MB")
        return parse_json(content)
    except FileNotFoundError:
        raise
    except (OSError, JSONFaultError) as reason:
        cause = getattr(reason, "strerror", None) or reason
        raise UserError(f"{path} cannot be read as JSON ({cause}); mend or remove it") from reason


def _check_depth(text: str) -> None:
    depth = 0
    for mark in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > DEEPEST:
            raise JSONFaultError(f"it nests deeper than {DEEPEST} levels")


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise JSONFaultError(f"the key {twice[:60]!r} stands twice in one object")
    for name, value in pairs:
        for part in (name, *(value if isinstance(value, list) else [value])):
            if isinstance(part, str) and _LONE_SURROGATE.search(part):
                raise JSONFaultError("it holds half of a surrogate pair, which is no character")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise JSONFaultError(f"{name} is no number of JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JSONFaultError(f"the number {text[:_LONGEST_NUMBER]} is too large")
    return value


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise JSONFaultError(f"a number of {len(text)} digits is too large")
    return int(text)
