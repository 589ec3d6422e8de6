"""A request of the command line answered: on the terminal, and in the files it names."""

from __future__ import annotations

import time
from collections.abc import Callable

from whales.base.console import is_quiet, log
from whales.base.errors import UserError
from whales.files.import_table import written_names
from whales.files.workspace import pairs_path
from whales.identifying import agreement, identification, result_page
from whales.identifying.among import set_pairs_aside, write_pairs
from whales.identifying.identifier import Identifier
from whales.identifying.request import Request
from whales.identifying.watching import watch
from whales.scores.best_photos import like_everybody


def answer_request(
    request: Request,
    open_identifier: Callable[[], Identifier],
    before_loading: Callable[[], object] = lambda: None,
) -> None:
    """Identify the photos, show and write the answers; then what is wrong with photos, if anything.

    open_identifier: called once there is a photo that can be read; before_loading: called after that, where
    boxes have to be found. `UserError` for a photo that is not
    there or cannot be read, after the answers to the others are written; unless the identifier's options
    skip broken photos. With `watch` it goes on until a signal ends it.
    """
    if request.watch:
        watch(request, open_identifier, before_loading)
        return
    photos, faults = identification.photo_files(request.photos)
    if not photos:
        raise UserError(identification.nothing_to_read(faults))
    identifier = open_identifier()
    workspace = identifier.options.workspace
    identifier.check_side(request.side)
    boxes = identification.box_by_hand(request.box, photos)
    if not boxes:
        before_loading()
    begin = time.monotonic()
    catalogue = identifier.catalogue  # the detector loads meanwhile, in a process of its own
    log(f"loaded in {time.monotonic() - begin:.1f} s")
    boxes = boxes or identifier.find_boxes(photos, identifier.options, request.all_flukes)
    names = written_names(workspace)
    answers, begin = [], time.monotonic()
    for answer in identifier.answers(photos, boxes, request.top, faults, request.side):
        if not is_quiet():
            result_page.show(answer, names=names)
        answers.append(answer)
    log(f"flukes compared: {len(answers)}, in {time.monotonic() - begin:.1f} s after loading")
    odd = like_everybody([a.candidates[0].photo or "" for a in answers if a.candidates])
    if odd:
        log(f"note: {odd}")
    if request.csv:
        if request.among:  # first, so that a table is never newer than its pairs
            write_pairs(pairs_path(request.csv), catalogue, answers)
        else:
            set_pairs_aside(request.csv)
        result_page.write_csv(request.csv, answers, names)
    if request.html:
        result_page.write_html(request.html, answers, workspace, catalogue.boxes, request.csv)
    if request.why:
        faults += agreement.draw_all(catalogue, answers, workspace, request.why)
    identification.name_faults(faults, identifier.options.skip_broken_photos)
