// What the page does without a document: keys, zoom, and which photo comes next.

export const LARGEST = 12;

// action: [keys, text of the help]; `same1` to `same5` decide for a candidate.
export const ACTIONS = {
  same1: [["1"], "same whale as candidate 1"],
  same2: [["2"], "same whale as candidate 2"],
  same3: [["3"], "same whale as candidate 3"],
  same4: [["4"], "same whale as candidate 4"],
  same5: [["5"], "same whale as candidate 5"],
  sameChosen: [["y"], "same as chosen"],
  new: [["n"], "new individual"],
  unsure: [["t"], "cannot tell"],
  skip: [["s"], "skip for now"],
  name: [["i"], "name somebody else"],
  along: [["x"], "take this photo along"],
  encounter: [["e"], "all of this encounter"],
  fresh: [["j"], "to new photos like it"],
  groups: [["g"], "groups of new photos"],
  draw: [["f"], "draw the fluke's box"],
  quality: [["q"], "quality, then 1 to 3 (0: none)"],
  distinctiveness: [["d"], "distinctiveness, then 1 to 3 (0: none)"],
  undo: [["u"], "undo"],
  previous: [["ArrowLeft"], "previous photo"],
  next: [["ArrowRight"], "next photo"],
  above: [["ArrowUp"], "candidate before"],
  below: [["ArrowDown"], "next candidate"],
  pair: [["p"], "large pair"],
  album: [["a"], "all its photos"],
  overlays: [["o"], "show or hide names, scores and boxes"],
  whole: [["w"], "whole photo or fluke"],
  zoomIn: [["+", "="], "zoom in"],
  zoomOut: [["-"], "zoom out"],
  lock: [["l"], "zoom all photos or one alone"],
  turn: [["r"], "turn"],
  mirror: [["m"], "mirror"],
  light: [["b"], "lighter, darker"],
  contrast: [["c"], "contrast"],
  reset: [["0"], "as it was"],
};

const REPEATED = ["zoomIn", "zoomOut", "previous", "next", "above", "below"];
const KEYS = new Map(
  Object.entries(ACTIONS).flatMap(([action, [keys]]) => keys.map((key) => [key, action])),
);

// The action of a key press; undefined while somebody types, for a held key and for the browser's own.
export function actionOf(event, tag, type) {
  if (event.ctrlKey || event.altKey || event.metaKey) return undefined;
  if (tag === "SELECT" || tag === "TEXTAREA" || (tag === "INPUT" && type !== "checkbox")) return undefined;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.shiftKey && key.startsWith("Arrow")) return undefined;
  const action = KEYS.get(key);
  const held = event.repeat && !REPEATED.includes(action);
  return held ? undefined : action;
}

// Numbers of photos in words, the one on the page first: "Photo 3", "Photos 1, 4 and 7".
export function photosText(numbers) {
  if (numbers.length < 2) return `Photo ${numbers.join()}`;
  return `Photos ${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

// A probability, never rounded to a certainty that it is not.
export function shareText(value) {
  if (value > 0 && value < 0.005) return "<0.01";
  return value >= 0.995 && value < 1 ? ">0.99" : value.toFixed(2);
}

function clamped({ zoom, x, y }) {
  const within = (value) => Math.min(0, Math.max(1 - zoom, value));
  return { zoom, x: within(x), y: within(y) };
}

// A view is zoom and offset; offsets and points are shares of a pane's width and height, so that
// panes of any size show the same part.
export function zoomAt(view, factor, px, py) {
  const zoom = Math.min(LARGEST, Math.max(1, view.zoom * factor));
  const grown = zoom / view.zoom;
  return clamped({ zoom, x: px - (px - view.x) * grown, y: py - (py - view.y) * grown });
}

export function panBy(view, dx, dy) {
  return clamped({ zoom: view.zoom, x: view.x + dx, y: view.y + dy });
}

// What the eye may do to one photo: quarter turns, mirrored or not, factors of light and of contrast.
export const PLAIN = { turns: 0, mirrored: false, light: 1, contrast: 1 };
const FACTORS = [1, 1.4, 1.9, 0.7];

export function changed(look, what) {
  if (what === "turn") return { ...look, turns: (look.turns + 1) % 4 };
  if (what === "mirror") return { ...look, mirrored: !look.mirrored };
  return { ...look, [what]: FACTORS[(FACTORS.indexOf(look[what]) + 1) % FACTORS.length] };
}

// The candidate that follows by so many, at the ends the last one.
export function moved(place, by, count) {
  return Math.max(0, Math.min(count - 1, place + by));
}

// Two fingers, before and after: a view that keeps what is under them. Points are shares of the pane.
export function pinched(view, before, after) {
  const middle = ([one, two]) => ({ x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 });
  const apart = ([one, two]) => Math.hypot(one.x - two.x, one.y - two.y);
  const [from, to] = [middle(before), middle(after)];
  const grown = zoomAt(view, apart(after) / Math.max(apart(before), 1e-6), from.x, from.y);
  return panBy(grown, to.x - from.x, to.y - from.y);
}

// The box between two points, shares of a photo of [width, height] pixels: x1, y1, x2, y2 in whole pixels.
export function boxBetween(from, to, [width, height]) {
  const pixels = (share, side) => Math.round(Math.min(1, Math.max(0, share)) * side);
  const [x1, x2] = [pixels(from.x, width), pixels(to.x, width)].sort((a, b) => a - b);
  const [y1, y2] = [pixels(from.y, height), pixels(to.y, height)].sort((a, b) => a - b);
  return [x1, y1, x2, y2];
}

// A box moved by so many pixels, or its right and lower side alone; it stays in the photo.
export function boxMoved([x1, y1, x2, y2], dx, dy, [width, height], grown) {
  const within = (value, low, high) => Math.max(low, Math.min(high, value));
  if (grown) return [x1, y1, within(x2 + dx, x1 + 1, width), within(y2 + dy, y1 + 1, height)];
  const [x, y] = [within(dx, -x1, width - x2), within(dy, -y1, height - y2)];
  return [x1 + x, y1 + y, x2 + x, y2 + y];
}

// After a decision: the photo that followed in the old list, as far as it is still in the new one.
export function nextAfter(old, fresh, number) {
  const left = new Set(fresh);
  const place = old.indexOf(number);
  const following = old.slice(place + 1).find((one) => left.has(one));
  if (following !== undefined) return following;
  return left.has(number) ? number : fresh[fresh.length - 1];
}
