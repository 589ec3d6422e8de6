"""What programs that mark animals in photos write: COCO, VIA's JSON, CVAT's XML; a row per marked animal.

Every row has `photo`; `category`, what kind of thing is marked; and, where something is, `bbox`:
[x, y, width, height] in pixels. Attributes keep their names, nested ones with dots between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

from whales.base.errors import UserError

Row = tuple[str, Mapping[str, object]]  # file and place, for messages; column -> value

_MOST_FIELDS = 1_000  # names in the objects of a list
_LARGEST = 256 << 20  # bytes of an XML file
_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid")  # of CVAT


def flat(entry: Mapping[str, object], front: str = "") -> dict[str, object]:
    """An object with those inside it unfolded, names joined by dots.

    >>> flat({"id": 1, "attributes": {"whale_id": "W1"}})
    {'id': 1, 'attributes.whale_id': 'W1'}
    """
    result: dict[str, object] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            result |= flat(value, f"{front}{name}.")
        else:
            result[f"{front}{name}"] = value
    return result


# --- COCO ---------------------------------------------------------------------------------------


def coco_rows(path: Path, content: Mapping[str, Any]) -> Iterator[Row]:
    """A row per annotation, and one per image without any."""
    images = _by_id(path, "image", content["images"])
    categories = _by_id(path, "category", content.get("categories", []))
    annotations = _objects(path, "annotation", content.get("annotations", []))
    seen = set()
    for number, entry in enumerate(annotations):
        where = f"{path}, annotation {entry.get('id', number)}"
        image, category = entry.get("image_id"), entry.get("category_id")
        if not (_is_id(image) and (category is None or _is_id(category))):
            raise UserError(f"{where}: image_id and category_id must be numbers or words")
        if image not in images:
            raise UserError(f"{where}: there is no image {image}; add it or take the entry out")
        if category is not None and category not in categories:
            raise UserError(f"{where}: there is no category {category}; add it")
        seen.add(image)
        named = "" if category is None else _word(categories[category], "name", where)
        segments = {} if isinstance(entry.get("segmentation"), dict) else entry
        yield (
            where,
            {
                "category": named,
                **flat(images[image]),
                **flat({**entry, "segmentation": None}),
                **_bounded(entry, segments),
                "photo": _word(images[image], "file_name", where),
            },
        )
    for key, image in images.items():
        if key not in seen:
            where = f"{path}, image {key}"
            yield where, {**flat(image), "photo": _word(image, "file_name", where)}


def _bounded(entry: Mapping[str, object], segments: Mapping[str, object]) -> dict[str, object]:
    """The box around an annotation's polygons, where it has no box."""
    polygons = segments.get("segmentation")
    if entry.get("bbox") or not isinstance(polygons, list):
        return {}
    numbers = [value for polygon in polygons if isinstance(polygon, list) for value in polygon]
    if len(numbers) < 6 or not all(isinstance(value, int | float) for value in numbers):
        return {}
    return {"bbox": _around(numbers[::2], numbers[1::2])}


def _objects(path: Path, kind: str, entries: object) -> list[dict[str, object]]:
    """A COCO list; `UserError` where it is none, or not of objects, or has too many kinds of fields."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is not COCO JSON: its list of each {kind} must hold objects")
    if len({name for entry in entries for name in entry}) > _MOST_FIELDS:
        raise UserError(f"{path}: its {kind} entries have more than {_MOST_FIELDS} kinds of fields")
    return entries


def _by_id(path: Path, kind: str, entries: object) -> dict[object, dict[str, object]]:
    """A COCO list by its ids; `UserError` for an entry without one, or with that of another."""
    found: dict[object, dict[str, object]] = {}
    for number, entry in enumerate(_objects(path, kind, entries)):
        key = entry.get("id")
        if not _is_id(key):
            raise UserError(f"{path}, {kind} number {number}: its id must be a number or a word")
        if key in found:
            raise UserError(f"{path}: {kind} {key} is there twice; give each an id of its own")
        found[key] = entry
    return found


def _is_id(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _word(entry: Mapping[str, object], name: str, where: str) -> object:
    """A name in an object, None where there is none; `UserError` for a list or object."""
    value = entry.get(name)
    if value is not None and not _is_id(value):
        raise UserError(f"{where}: {name} must be a word")
    return value


def _around(xs: list[Any], ys: list[Any]) -> list[float]:
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


# --- VIA ----------------------------------------------------------------------------------------


def via_photos(content: object) -> list[dict[str, Any]] | None:
    """The photos of a VIA project or export (VGG Image Annotator); None for other JSON."""
    if isinstance(content, dict) and isinstance(content.get("_via_img_metadata"), dict):
        content = content["_via_img_metadata"]
    if not isinstance(content, dict) or not content:
        return None
    photos = list(content.values())
    known = all(isinstance(photo, dict) and {"filename", "regions"} <= {*photo} for photo in photos)
    return photos if known else None


def via_rows(path: Path, photos: list[dict[str, Any]]) -> Iterator[Row]:
    """A row per region, and one per photo without any."""
    for photo in photos:
        name, regions = photo["filename"], photo["regions"]
        where = f"{path}, photo {name}"
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        if not isinstance(name, str) or not isinstance(regions, list):
            raise UserError(f"{where}: expected a filename and a list of regions")
        attributes = _attributes(photo.get("file_attributes"), where)
        for number, region in enumerate(regions or [{}], 1):
            place = f"{where}, region {number}" if regions else where
            if not isinstance(region, dict):
                raise UserError(f"{place}: expected an object")
            row = {**attributes, **_attributes(region.get("region_attributes"), place)}
            yield place, {**row, **_via_box(region.get("shape_attributes"), place), "photo": name}


def _attributes(value: object, where: str) -> dict[str, object]:
    if not isinstance(value or {}, dict):
        raise UserError(f"{where}: its attributes must be an object")
    found = flat(value or {})
    return {name: value for name, value in found.items() if name not in ("photo", "bbox")}


def _via_box(shape: Any, where: str) -> dict[str, object]:
    """The box around a region; nothing around a point."""
    if not shape or shape.get("name") == "point":
        return {}
    try:
        kind = shape["name"]
        if kind == "rect":
            return {"bbox": [float(shape[key]) for key in ("x", "y", "width", "height")]}
        if kind in ("polygon", "polyline"):
            xs, ys = ([float(x) for x in shape[f"all_points_{axis}"]] for axis in "xy")
            return {"bbox": _around(xs, ys)}
        x, y = float(shape["cx"]), float(shape["cy"])
        across, down = (float(shape["r" if kind == "circle" else key]) for key in ("rx", "ry"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{where}: its shape is none that VIA draws; draw a box") from None
    return {"bbox": [x - across, y - down, 2 * across, 2 * down]}


# --- CVAT ---------------------------------------------------------------------------------------


def cvat_rows(path: Path) -> Iterator[Row]:
    """A row per shape of "CVAT for images" (annotations.xml), and one per image without any."""
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{path} is larger than {_LARGEST >> 20} MB")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as reason:
        raise UserError(f"{path} cannot be read ({reason.strerror})") from reason
    reader = _Cvat(path)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as fault:
        raise UserError(f"{path} is no whole XML ({fault}); export it again") from fault
    if not reader.is_cvat:
        raise UserError(f'{path} is not CVAT\'s XML; export as "CVAT for images" or as COCO')
    yield from reader.rows


class _Cvat:
    """Collects the rows of CVAT's XML as it is parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.is_cvat = False
        self._depth = 0
        self._image: Mapping[str, object] | None = None
        self._shape: dict[str, object] | None = None
        self._count = 0
        self._attribute: str | None = None
        self._letters: list[str] = []
        self._tags: dict[str, object] = {}

    def doctype(self, *_: object) -> None:
        """A document type is what entities are declared in; CVAT writes none."""
        raise UserError(f"{self.path} declares a document type, which CVAT does not")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self.is_cvat = name == "annotations"
        elif name == "track" and self.is_cvat:
            raise UserError(f'{self.path} is CVAT for video; export it as "CVAT for images"')
        elif name == "image":
            if not attributes.get("name"):
                raise UserError(f"{self.path}, image {attributes.get('id', '?')}: it has no name")
            self._image, self._count, self._tags = attributes, 0, {}
        elif self._image is not None and name in (*_SHAPES, "tag"):
            self._shape = {"category": attributes.get("label", "")}
            self._shape |= {} if name == "tag" else self._box(name, attributes)
        elif self._shape is not None and name == "attribute":
            self._attribute, self._letters = attributes.get("name", ""), []

    def text(self, letters: str) -> None:
        if self._attribute is not None:
            self._letters.append(letters)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "attribute" and self._shape is not None and self._attribute is not None:
            self._shape[self._attribute] = "".join(self._letters).strip()
            self._attribute = None
        elif name == "tag" and self._shape is not None:  # said of the whole image
            self._tags |= self._shape
            self._shape = None
        elif name in _SHAPES and self._shape is not None and self._image is not None:
            self._count += 1
            self._add(f"shape {self._count}", self._shape)
            self._shape = None
        elif name == "image" and self._image is not None:
            if not self._count:
                self._add("", {})
            self._image = None

    def _add(self, place: str, shape: Mapping[str, object]) -> None:
        image = self._image or {}
        where = f"{self.path}, image {image['name']}" + (f", {place}" if place else "")
        self.rows.append((where, {**self._tags, **shape, "photo": image["name"]}))

    def _box(self, kind: str, attributes: Mapping[str, str]) -> dict[str, object]:
        try:
            if kind == "box":
                x1, y1, x2, y2 = (float(attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
                return {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            if kind == "ellipse":
                x, y, across, down = (float(attributes[key]) for key in ("cx", "cy", "rx", "ry"))
                return {"bbox": [x - across, y - down, 2 * across, 2 * down]}
            if kind == "mask":
                return {"bbox": [float(attributes[k]) for k in ("left", "top", "width", "height")]}
            if kind in ("polygon", "polyline"):
                points = [[float(x) for x in p.split(",")] for p in attributes["points"].split(";")]
                return {"bbox": _around([x for x, _ in points], [y for _, y in points])}
        except (KeyError, ValueError):
            raise UserError(
                f"{self.path}, image {(self._image or {}).get('name')}: a {kind} has no sound corners"
            ) from None
        return {}
