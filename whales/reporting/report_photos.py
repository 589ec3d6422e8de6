"""Sections of a report that show photos: detection, gallery, look-alikes, identical photos."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from html import escape

import cv2
import numpy as np

from whales.base.errors import UserError
from whales.base.web_page import image, note, side_by_side
from whales.files.labels import NEW_WHALE, with_jpg
from whales.files.workspace import Workspace, require
from whales.photos.photos import read_photo
from whales.reporting import charts, gallery
from whales.reporting.held_out import BOTH
from whales.reporting.look_alikes import LEAST_PHOTOS, Twins, identical_photos
from whales.reporting.report_parts import DetectorCheck, detector_check
from whales.reporting.report_sources import Sources
from whales.scores.ranking import ENSEMBLE_THRESHOLD

WORST = 10  # photos of the detection section
SHOWN_TWINS = 20  # groups of identical photos with a picture
_DRAWN_WIDTH, _MOST_HEIGHT = 420, 1260  # of a photo with its boxes, pixels
_REFERENCE, _DETECTOR = (27, 160, 80), (230, 90, 0)  # colours of boxes, RGB

STYLE = """
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 1rem; }
.worst { grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; align-content: start; }
.pairs { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.pair h3 { grid-column: 1 / -1; margin: 0; font-size: 1rem; font-weight: 400; }
"""


def detector_ran(workspace: Workspace) -> bool:
    """Whether a detector of this work root was trained, or has looked at photos."""
    keys = (
        "boxes_retinanet",
        "boxes_retinanet_playground",
        "retinanet_last",
        "retinanet_converted",
    )
    return any(workspace.found(key) for key in keys)


def detected(sources: Sources) -> str:
    """The detector's IoU, and the photos it did worst on."""
    check = detector_check(sources.workspace)
    if not check.overlaps:
        raise UserError(f"{check.reference} and the detector's boxes have no photo in common")
    overlaps = np.array(list(check.overlaps.values()))
    heights = np.histogram(overlaps, 40, (0, 1))[0]
    svg = charts.histogram("Detection: photos by IoU", "IoU", "photos", {"photos": heights})
    text = (
        f"The detector's boxes against those of {escape(check.reference)}: mean IoU {overlaps.mean():.4f} "
        f"on {len(overlaps):,} photos, {(overlaps < 0.8).sum():,} under .8, {len(check.missed):,} not "
        f"found (counted as 0). Below, the {WORST} worst: reference in green, detector in orange."
    )
    worst = sorted(check.overlaps, key=lambda name: (check.overlaps[name], name))[:WORST]
    tiles = "".join(_boxed(sources.workspace, check, name) for name in worst)
    return f'{note(text)}{side_by_side([svg])}<div class="tiles worst">{tiles}</div>'


def _boxed(workspace: Workspace, check: DetectorCheck, name: str) -> str:
    """A photo (stem) with its boxes drawn."""
    caption = f"{with_jpg(name)}, IoU {check.overlaps[name]:.3f}"
    caption += "" if name in check.boxes else ", not found"
    try:
        pixels = read_photo(workspace.photo(name))
    except UserError:
        return f'<figure><div class="none">no photo</div><figcaption>{escape(caption)}</figcaption></figure>'
    scale = min(_DRAWN_WIDTH / pixels.shape[1], _MOST_HEIGHT / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    drawn = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    for boxes, colour in ((check.truth, _REFERENCE), (check.boxes, _DETECTOR)):
        if name in boxes:
            x1, y1, x2, y2 = (round(float(value) * scale) for value in boxes[name])
            cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 2)
    return f"<figure>{image(drawn, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def gallery_of(sources: Sources, thumbnails: gallery.Thumbnails) -> str:
    """Queries with their answers."""
    queries = sources.queries
    text = (
        "Test photos with the five answers of the submission."
        if queries and queries[0].group == "test"
        else f"Valid photos of the folds with five answers from the {BOTH} (of one net where only one "
        f"has scored the photo), threshold {ENSEMBLE_THRESHOLD}, while the test photos' identities or "
        "scores are missing."
    )
    text += (
        " Crops all have one shape and are held as the photo is; each answer shows the known photo most "
        f"like the query. Right answers are framed in green; where <code>{NEW_WHALE}</code> is the answer "
        "there is no photo to show."
    )
    return note(text) + gallery.gallery(queries, thumbnails, names=sources.names)


def look_alikes(sources: Sources, thumbnails: gallery.Thumbnails) -> str:
    """Pairs of identities that may be one."""
    pairs = sources.held_out.likeness.pairs()
    text = (
        "Possible duplicates of the catalogue. Of each valid photo of one identity the best score with a "
        "photo of the other counts; likeness is the mean over the valid photos of both, at least "
        f"{LEAST_PHOTOS} (scores: {BOTH}). The nets were trained to tell these identities apart, so that a "
        "high likeness is worth a look; identities with less than three photos are never valid, and are "
        "only met as the other one. Below each pair its two photos most alike, and the command that makes it "
        "one individual: it says first what would become of the photos, does it with <code>--yes</code>, and "
        "can be undone."
    )
    drawn = []
    for pair in pairs:
        tiles = ""
        if pair.example:
            for photo in pair.example[1:]:
                identity = sources.training_identity_of[photo]
                shown = thumbnails.element(photo, f"{identity}, {photo}")
                caption = f"<b>{escape(_called(identity, sources.names))}</b><br>{escape(with_jpg(photo))}"
                tiles += f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"
        first, second = (_called(who, sources.names) for who in (pair.first, pair.second))
        title = f"<b>{escape(first)}</b> and <b>{escape(second)}</b>: likeness {pair.likeness:.3f}"
        # A merge keeps the first name; quotes for names that a shell would take apart.
        merge = f"whales-catalogue merge {shlex.quote(pair.first)} {shlex.quote(pair.second)}"
        tiles += f"<p><code>{escape(merge)}</code></p>"
        best = f"; the photos score {pair.example[0]:.3f}" if pair.example else ""
        drawn.append(
            f'<div class="pair"><h3>{title} over {pair.photos} photos{best}</h3>{tiles}</div>'
        )
    return note(text) + (
        f'<div class="pairs">{"".join(drawn)}</div>'
        if drawn
        else note("No two identities rest on so many valid photos.")
    )


def _called(identity: str, names: Mapping[str, str]) -> str:
    """What people call an identity, with what the work root calls it, where that differs."""
    return f"{names[identity]} ({identity})" if identity in names else identity


def identical(sources: Sources, thumbnails: gallery.Thumbnails) -> str:
    """Photos that are among the training and test photos twice."""
    folders = [sources.workspace.file(key) for key in ("train_photos", "test_photos")]
    if not any(folder.exists() for folder in folders):
        require(sources.workspace, folders[0])
    groups = identical_photos(folders)
    identity_of = sources.identity_of
    both = sum(len({path.parent for path in twins.files}) > 1 for twins in groups)
    unlike = [twins for twins in groups if len(set(_identities(twins, identity_of))) > 1]
    text = (
        f"{len(groups):,} groups of equal photos among data/train and data/test; {both:,} lie in both "
        f"folders, {len(unlike):,} carry more than one identity. Equal are equal files, and photos with "
        "equal pixels at an eighth of their size."
    )
    tiles = []
    for twins in [*unlike, *(twins for twins in groups if twins not in unlike)][:SHOWN_TWINS]:
        names = ", ".join(f"{path.parent.name}/{path.name}" for path in twins.files)
        of_each = dict.fromkeys(_identities(twins, identity_of))
        identities = ", ".join(_called(who, sources.names) for who in of_each)
        kind = "equal files" if twins.bytes else "equal pixels"
        caption = f"{escape(names)}<br>{kind}; {escape(identities)}"
        shown = thumbnails.element(twins.files[0].stem, twins.files[0].name)
        tiles.append(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")
    more = note(f"{SHOWN_TWINS} of them are shown.") if len(groups) > SHOWN_TWINS else ""
    return f'{note(text)}{more}<div class="tiles">{"".join(tiles)}</div>'


def _identities(twins: Twins, identity_of: Mapping[str, str]) -> Iterator[str]:
    return (identity_of.get(path.stem, "not known") for path in twins.files)
