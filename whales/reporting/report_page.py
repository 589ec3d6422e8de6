"""One page on all that a work root holds, from training to the photos that were confused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from whales.base.errors import UserError
from whales.base.web_page import note, page, warned
from whales.base.writing import require_writable, write_text
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.reporting import gallery, report_numbers, report_photos
from whales.reporting.report_sources import Sources
from whales.scores.basis import basis_of_root


def write_report(path: Path, workspace: Workspace, nets: Sequence[Net]) -> None:
    """Write the page of a work root, whichever stages are done; equal files give an equal page.

    nets: of the ensemble. Raises `UserError`, before anything is read, where it cannot be written.
    """
    require_writable(path)
    sources = Sources(workspace, nets)
    thumbnails = gallery.Thumbnails(workspace, sources.boxes)
    # A root of photos that were cut before has no detector, and lacks none.
    detected = {"Detection": lambda: report_photos.detected(sources)}
    detection = detected if report_photos.detector_ran(workspace) else {}
    sections: dict[str, Callable[[], str]] = {
        "Results": lambda: report_numbers.results(sources),
        "Training": lambda: report_numbers.training(sources),
        **detection,
        "Scores": lambda: report_numbers.scores(sources),
        "Probabilities": lambda: report_numbers.probabilities(sources),
        "Post-processing": lambda: report_numbers.post_processing(sources),
        "Gallery": lambda: report_photos.gallery_of(sources, thumbnails),
        "Identities that look alike": lambda: report_photos.look_alikes(sources, thumbnails),
        "Identical photos": lambda: report_photos.identical(sources, thumbnails),
    }
    names = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<li><a href="#{names[title]}">{title}</a></li>' for title in sections)
    title = f"Report of the work root {workspace.root.name}"
    basis = basis_of_root(workspace, nets)
    elements = [f"<h1>{escape(title)}</h1>", warned(basis.warning), report_numbers.opening(sources)]
    elements += [
        note(escape(" ".join(basis.notes()))),
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>',
    ]
    for name, make in sections.items():
        content = _or_absent(sources, make)
        elements.append(f'<section id="{names[name]}"><h2>{name}</h2>\n{content}\n</section>')
    shape = f":root {{ --shape: {workspace.settings.anisotropy:g}; }}\n"
    style = shape + gallery.STYLE + report_photos.STYLE
    write_text(path, page(title, "\n".join(elements), style, gallery.SCRIPT))


def _or_absent(sources: Sources, make: Callable[[], str]) -> str:
    """A section, or the line that says what it lacks."""
    try:
        return make()
    except UserError as reason:
        return sources.absent([str(reason)])
