"""Boxes that people draw on the page: checked, shown to the nets by a thread, kept with what these say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.files.decisions import checked_name
from whales.files.workspace import Workspace
from whales.photos.photos import photo_header
from whales.scores.drawn_boxes import BoxAnswer, BoxLog, checked_box
from whales.scores.query_results import Results, ReviewQuery

# (photo, box in pixels of the photo held upright, side that it shows or "") -> whom the nets see there
AskNets = Callable[[Path, Box, str], BoxAnswer]
_PATIENCE = 0.2  # seconds that a request waits for the nets


def no_nets(photo: Path, box: Box, side: str) -> BoxAnswer:
    """Refuses every box: for a page that was started without nets."""
    raise UserError("this page was started without nets and can look into no box")


class Drawing:
    """The drawn boxes of the queries under review, and those that the nets are looking into."""

    def __init__(
        self, workspace: Workspace, results: Results, log: BoxLog, ask_nets: AskNets = no_nets
    ) -> None:
        self.log = log
        self._workspace, self._results, self._ask_nets = workspace, results, ask_nets
        self._state: tuple[int, ...] = ()  # of the table when it was read last
        self._asked: dict[int, _Question] = {}  # by index of the query
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # the nets look into one box at a time
        self._loaded = False

    def refresh(self) -> None:
        """Take the boxes of the table as it is now, whoever drew them; `UserError` for a broken one."""
        with self._lock:
            state = self.log.state()
            if state != self._state:
                drawn = self.log.standing(self._results.labels)
                self._results.draw(drawn, self._workspace.digests.of)
                self._state = state

    def view(self, index: int) -> dict[str, object]:
        """A query's box, [] for the whole frame, its photo's size, both in pixels, and who drew it.

        `UserError` for a photo that cannot be read or drawn on.
        """
        query = self._results.queries[index]
        size = _size(query)
        corners = () if query.box is None else query.box
        box = [min(max(round(value), 0), size[i % 2]) for i, value in enumerate(corners)]
        return {"number": index + 1, "box": box, "size": size, "drawn_by": query.drawn_by}

    def ask(self, index: int, who: str, box: object, content: str) -> dict[str, object]:
        """Look into a box, and keep it once the nets have answered; as `answer`.

        who: draws it; box: four numbers, None for the detector's again; content: of the query, as decisions
        know it. `UserError` for a box that will not do, and while the nets look into another of this photo.
        """
        query, person = self._results.queries[index], checked_name(who)
        if box is None:
            if not query.drawn_by:
                raise UserError("the box is as it was detected already")
            self.log.keep(person, query.name, content, None, None)
            return self.answer(index)
        question = _Question(query, checked_box(box, _size(query)), person, content)
        question.thread = threading.Thread(target=self._look, args=(question,), daemon=True)
        with self._lock:
            former = self._asked.get(index)
            if former is not None and former.thread.is_alive():
                raise UserError("the nets are still looking into another box of this photo; wait")
            self._asked[index] = question
            question.thread.start()
        question.thread.join(_PATIENCE)
        return self.answer(index)

    def answer(self, index: int) -> dict[str, object]:
        """What becomes of the last box of a query: `waiting` says for what, "" when it is kept.

        `UserError` where the nets cannot look into it: then nothing is kept.
        """
        with self._lock:
            question = self._asked.get(index)
            waits = question is not None and question.thread.is_alive()
            if not waits:
                self._asked.pop(index, None)
        if question is not None and not waits and question.fault:
            raise UserError(f"the box is not kept: {question.fault}")
        waiting = "the nets look into the box" if self._loaded else "the nets are being loaded"
        self.refresh()
        return {"number": index + 1, "waiting": waiting if waits else ""}

    def _look(self, question: _Question) -> None:
        query = question.query
        try:
            with self._turn:
                answer = self._ask_nets(query.path, question.box, query.side)
                self._loaded = True
            self.log.keep(question.who, query.name, question.content, question.box, answer)
            question.fault = ""
        except UserError as reason:
            question.fault = str(reason)


class _Question:
    """A box that the nets are asked about."""

    def __init__(self, query: ReviewQuery, box: Box, who: str, content: str) -> None:
        self.query, self.box, self.who, self.content = query, box, who, content
        self.thread = threading.Thread()
        # Stays where the thread dies of what nobody foresaw.
        self.fault = "the nets failed; the window that the program runs in says why"


def _size(query: ReviewQuery) -> tuple[int, int]:
    """(width, height) of a query's photo in pixels, as its box counts them.

    `UserError` for a photo of the root that its camera wants turned: the root's boxes are of the stored
    pixels, and the nets are shown a photo held upright.
    """
    header = photo_header(query.path)
    if query.upright:
        return header.upright_size
    if header.turn > 1:
        raise UserError(
            f"{query.path} has a note to turn it, and no box can be drawn on it as it lies in the work root; "
            "import it anew with tools/import_dataset.py, which turns it"
        )
    return header.width, header.height
