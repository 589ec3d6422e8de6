"""Known photos grouped by identity: each identity scores what its best photo scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


class Known:
    """Known photos (stems, sorted) grouped by identity, in the order of their first photos."""

    def __init__(self, photos: Sequence[str], identity_of: Mapping[str, str]) -> None:
        """`identity_of`: stem -> identity of at least these photos."""
        self.photos = list(photos)
        self.identities = list(dict.fromkeys(identity_of[name] for name in photos))
        code_of = {identity: code for code, identity in enumerate(self.identities)}
        self.codes = np.array([code_of[identity_of[name]] for name in photos], np.int64)
        self._order = np.argsort(self.codes, kind="stable")
        self._starts = np.searchsorted(self.codes[self._order], np.arange(len(code_of)))

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Each identity's score, that of its best photo: (n, m) to (n, identities)."""
        return np.maximum.reduceat(scores[:, self._order], self._starts, axis=1)

    def top(self, scores: np.ndarray, count: int) -> list[tuple[int, int]]:
        """The `count` best identities of one photo's scores (m,), as many as there are.

        Returns (place in `identities`, place in `photos` of its best photo), best first; ties go to
        the identity, and the photo, that comes first.
        """
        best = np.argsort(-self.best(scores[None])[0], kind="stable")[:count]
        return [(int(code), self._best_photo(scores, code)) for code in best]

    def _best_photo(self, scores: np.ndarray, code: int) -> int:
        mine = np.flatnonzero(self.codes == code)
        return int(mine[np.argmax(scores[mine])])
