"""Web pages that open without a network: skeleton, style, and photos kept in the page itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

JPEG_QUALITY = 75

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 78rem; padding: 0 1rem 3rem;
  color: #14202b; background: #fff; }
p { overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { border-top: 2px solid #14202b; padding-top: .6rem; margin-top: 2.5rem; }
a { color: #004a8f; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: 0; list-style: none; }
a:focus-visible, summary:focus-visible, select:focus-visible, input:focus-visible, .wide:focus-visible
  { outline: 3px solid #b35900; outline-offset: 2px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; white-space: nowrap; }
summary { cursor: pointer; padding: .4rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #b5bec7; text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
td.text { white-space: normal; max-width: 18rem; }
.sentence { font-size: 1.25rem; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
.note { max-width: 60rem; color: #33424f; } .absent { background: #fff3d6; padding: .5rem .8rem; }
.warning { background: #9c1c00; color: #fff; font-weight: 600; padding: .5rem .8rem; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts figure { flex: 1 1 20rem; max-width: 36rem; }
.charts svg { width: 100%; height: auto; stroke-linejoin: round; } figure { margin: 0; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
img { width: 100%; height: auto; display: block; background: #e6eaee; }
@media (max-width: 34rem) { table { font-size: .85rem; } th, td { padding: .2rem .35rem; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
{script}</body>
</html>
"""


def page(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole page; `body`: HTML, `style`: more CSS, `script`: JavaScript."""
    code = f"<script>{script}</script>\n" if script else ""
    return _PAGE.format(title=escape(title), style=_STYLE + style, body=body, script=code)


def image(pixels: np.ndarray, text: str, quality: int = JPEG_QUALITY) -> str:
    """An `img` of (h, w, 3) uint8 RGB, kept in the page as JPEG; text: its alt text."""
    return picture(data_uri(pixels, quality), text, *pixels.shape[1::-1])


def data_uri(pixels: np.ndarray, quality: int = JPEG_QUALITY) -> str:
    """(h, w, 3) uint8 RGB as the address of a JPEG that holds its own bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    data = cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def picture(uri: str, text: str, width: int, height: int) -> str:
    """An `img` of an address, with alt text; width, height: pixels, so that nothing moves in loading."""
    return f'<img alt="{escape(text)}" width="{width}" height="{height}" src="{uri}">'


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], text: int = 1
) -> str:
    """A table that scrolls sideways where it is wider than the page.

    rows: one value for each column of `header`; text: how many columns, from the first, hold words and
    are set to the left; the others hold numbers.
    """

    def line(tag: str, values: Sequence[object]) -> str:
        classes = [' class="text"' if column < text else "" for column in range(len(values))]
        cells = zip(classes, values, strict=True)
        return "".join(f"<{tag}{kind}>{escape(str(value))}</{tag}>" for kind, value in cells)

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{line('th', header)}</tr></thead>"
    label = f"<caption>{escape(caption)}</caption>"
    # Focusable, so that the arrow keys can scroll it.
    frame = f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
    return f"{frame}<table>{label}{head}<tbody>{body}</tbody></table></div>"


def note(text: str) -> str:
    """A paragraph that explains; `text`: HTML."""
    return f'<p class="note">{text}</p>'


def warned(text: str) -> str:
    """A line that nobody is to overlook; nothing for an empty text."""
    return f'<p class="warning" role="alert">{escape(text)}</p>' if text else ""


def side_by_side(charts: Iterable[str]) -> str:
    """Charts (SVG elements) beside each other where there is room."""
    figures = "".join(f"<figure>{svg}</figure>" for svg in charts)
    return f'<div class="charts">{figures}</div>'
