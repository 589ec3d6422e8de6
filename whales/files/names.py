"""What a photo's name and an identity may be, in every table that people give; docs/data.md lists it.

A name goes into file names, tables with commas and answers with spaces between them; a name that would
be read back as another one is a fault.
"""

from __future__ import annotations

import re
import unicodedata

from whales.base.folders import look

NEW_WHALE = "new_whale"
# Bytes of a photo's stem and of an identity: suffixes of caches and temporary files still fit 255.
MAX_BYTES = 120

_PLAIN_IDENTITY = re.compile(r"\w[\w-]{0,99}", re.ASCII)
_PLAIN_PHOTO = re.compile(r"\w[\w-]{0,99}(\.[A-Za-z]\w{0,4})?", re.ASCII)
_EXTENSION = re.compile(r"[A-Za-z][A-Za-z0-9]{0,4}")
_SEPARATORS = ',;"'
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories of what nobody can see
# What belongs to other categories and is not seen all the same: joiners, fillers, variation selectors.
_UNSEEN_TOO = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONGEST_SHOWN = 60


def stem(name: str) -> str:
    """Photo name without folder and extension; Windows paths too.

    >>> stem("data/train/0a1b.jpg"), stem(r"E:\\photos\\25e1.fluke.npy"), stem("0a1b")
    ('0a1b', '25e1.fluke', '0a1b')
    """
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def with_jpg(name: str) -> str:
    """Photo name with `.jpg`, whatever extension and folder it had.

    >>> with_jpg("0a1b.npy")
    '0a1b.jpg'
    """
    return f"{stem(name)}.jpg"


def quoted(text: str) -> str:
    """A name for a message of one line: cut, and escaped where it would not be seen as it is.

    >>> quoted("w_1"), quoted(" w_1"), quoted("w\\u200b1")
    ('w_1', "' w_1'", "'w\\\\u200b1'")
    """
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    plain = text.isprintable() and text == text.strip() and "\\" not in text
    return text if plain and text else ascii(text)


def means_new_whale(text: str) -> bool:
    """Whether an identity is `new_whale`, well written or not.

    >>> [means_new_whale(text) for text in ("new_whale", " New Whale", "NEW-WHALE", "whale")]
    [True, True, True, False]
    """
    return "".join(c for c in look(text) if c.isalnum()) == "newwhale"


def identity_fault(text: str) -> str | None:
    """What is wrong with an identity, in words that follow it; None where nothing is.

    >>> identity_fault("w_1"), identity_fault("Mc Coy")
    (None, 'has a blank inside, and answers are separated by blanks; write _ for it')
    """
    if means_new_whale(text):
        return None if text == NEW_WHALE else f"looks like {NEW_WHALE}; write just that"
    if _PLAIN_IDENTITY.fullmatch(text):
        return None
    fault = _fault(text)
    if fault:
        return fault
    if any(letter.isspace() for letter in text):
        return "has a blank inside, and answers are separated by blanks; write _ for it"
    return _too_long(text)


def photo_fault(name: str) -> str | None:
    """What is wrong with a photo's name, in words that follow it; None where nothing is.

    >>> photo_fault("0a1b.jpg"), photo_fault("../0a1b.jpg")
    (None, 'has a / or \\\\ in it; write the name alone')
    """
    if _PLAIN_PHOTO.fullmatch(name):
        return None
    fault = _fault(name)
    if fault:
        return fault
    if any(letter.isspace() and letter != " " for letter in name):
        return "has a blank inside that is no plain space; rename the photo"
    front, dot, extension = name.rpartition(".")
    if dot and ("." in front or not _EXTENSION.fullmatch(extension)):
        return "has a dot besides that of its extension; rename the photo"
    if stem(name) != stem(name).strip():
        return "has a blank before its extension; rename the photo"
    return _too_long(stem(name))


def _fault(text: str) -> str | None:
    """What is wrong with any name."""
    if not text.strip():
        return "is empty; fill it in"
    if text != text.strip():
        return "begins or ends with a blank; take it out"
    unseen = next(filter(_is_unseen, text), None)
    if unseen is not None:
        return f"has a character that cannot be seen (U+{ord(unseen):04X}); take it out"
    if any(letter in text for letter in _SEPARATORS):
        return "has a comma, semicolon or double quote, which separate fields; write _ for it"
    if "/" in text or "\\" in text:
        return "has a / or \\ in it; write the name alone"
    if text[0] in ".-":
        return f"begins with {text[0]}, which hides a file or looks like an option; begin with a letter"
    return None


def _is_unseen(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSEEN or _UNSEEN_TOO.match(letter) is not None


def _too_long(text: str) -> str | None:
    length = len(text.encode())
    if length <= MAX_BYTES:
        return None
    return f"is {length} bytes long, more than {MAX_BYTES}; shorten it"


def cleaned(text: str) -> str:
    """A name out of people's tables as it was meant: unseen characters out, blanks single.

    >>> cleaned("\\ufeffMc\\u00a0\\n Coy\\u200b ")
    'Mc Coy'
    """
    kept = (letter for letter in text if letter.isspace() or not _is_unseen(letter))
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))
