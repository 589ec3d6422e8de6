// The page: asks the server, shows what it says, and sends what a person decides.

import {
  ACTIONS, PLAIN, actionOf, boxBetween, boxMoved, changed, moved, nextAfter, panBy, photosText, pinched, shareText, zoomAt,
} from "./logic.mjs";

const MARKS = { "": "", same: "✓", new: "✦", unsure: "?", skip: "–", conflict: "≠" };
const WORDS = { same: "same", new: "new individual", unsure: "cannot tell", skip: "skipped", conflict: "people differ" };
const ALWAYS = ["sameChosen", "new", "unsure", "skip", "undo", "previous", "next", "pair", "album", "encounter", "groups", "draw"]; // other buttons are folded away
// While groups are shown, keys that decide on the one photo behind them rest.
const IN_GROUPS = ["groups", "undo", "overlays", "whole", "zoomIn", "zoomOut", "lock", "turn", "mirror", "light", "contrast", "reset"];
const CORNERS = ["x1", "y1", "x2", "y2"];
const LIMITS = ["place", "first", "last", "side", "before"];
const MARKED = ["quality", "distinctiveness"];
const FILTERS = ["net", "min", "max", "identity", "undecided", ...LIMITS];
const REST = { zoom: 1, x: 0, y: 0 };
const STEP = 1.25;
const element = (id) => document.getElementById(id);
const given = name => document.querySelector(`meta[name=review-${name}]`).content;
const token = given("token");
document.documentElement.style.setProperty("--shape", given("shape"));

let view = REST; // of all panes while they are locked together
let locked = true;
let active = null; // the pane last touched
let whole = false;
let chosen = 0; // place among the figures at the right
let album = null; // all photos of one individual, in the candidates' place
let marked = new Map(); // photos that are decided together with the one shown: number -> { views, on }
let marking = null; // a kind of mark whose number is the next key
let grouped = false; // whether groups of new photos are shown in the place of one
let drawing = null; // { number, size } of the photo whose box is drawn
let numbers = [];
let shown = null; // the query on the page
let busy = false;
let asked = 0; // of several answers under way only the last one is shown

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function say(text, fault = false) {
  element("status").textContent = text;
  element("status").classList.toggle("fault", fault);
}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Review-Token": token },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the program does not answer; is it still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

// --- photos -------------------------------------------------------------------------------------

function source(views) {
  const large = document.body.classList.contains("pair") || panes().some((one) => viewOf(one).zoom > 1);
  return whole ? views.whole : large ? views.large : views.crop;
}

function viewOf(one) {
  return locked ? view : one.view;
}

function pane(views, text) {
  const image = make("img", { alt: text, draggable: false, src: source(views) });
  const frame = make("div", { className: "frame" }, image);
  image.addEventListener("load", () => {
    frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  });
  image.addEventListener("error", () => {
    image.alt = `${text}: cannot be read`;
  });
  const made = make("div", { className: "pane", tabIndex: 0 }, make("div", { className: "sheet" }, frame));
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", text);
  made.addEventListener("focus", () => {
    active = made;
  });
  return Object.assign(made, { views, image, frame, view, look: PLAIN });
}

function panes() {
  return [...document.querySelectorAll(".pane")];
}

function refresh() {
  for (const one of panes()) {
    if (one.image.getAttribute("src") !== source(one.views)) one.image.src = source(one.views);
    for (const [name, value] of Object.entries(viewOf(one))) one.style.setProperty(`--${name}`, value);
    const { turns, mirrored, light, contrast } = one.look;
    one.frame.classList.toggle("across", turns % 2 === 1);
    one.frame.style.transform = turns || mirrored ? `scaleX(${mirrored ? -1 : 1}) rotate(${turns * 90}deg)` : "";
    one.image.style.filter = light === 1 && contrast === 1 ? "" : `brightness(${light}) contrast(${contrast})`;
    // A finger scrolls the page where there is nothing to move in the pane.
    one.style.touchAction = viewOf(one).zoom > 1 ? "none" : "pan-x pan-y";
  }
  if (document.body.classList.contains("overlays")) panes().forEach(outline);
}

async function outline(one) {
  one.outlines ??= ask(one.views.outline).catch(() => ({}));
  const box = (await one.outlines)[whole ? "whole" : "crop"];
  one.frame.querySelector(".outline")?.remove();
  if (!box) return;
  const mark = make("div", { className: "outline" });
  ["left", "top", "width", "height"].forEach((side, i) => {
    mark.style[side] = `${100 * box[i]}%`;
  });
  one.frame.append(mark);
}

function look(fresh, one = activePane()) {
  if (locked) view = fresh;
  else if (one) one.view = fresh;
  refresh();
}

function activePane() {
  return active?.isConnected ? active : document.querySelector("#query .pane");
}

function retouch(what) {
  const one = activePane();
  if (!one) return;
  one.look = changed(one.look, what);
  refresh();
}

function asBefore() {
  for (const one of panes()) Object.assign(one, { look: PLAIN, view: REST });
  view = REST;
  refresh();
}

function lock() {
  locked = !locked;
  if (locked) view = activePane()?.view ?? REST;
  else for (const one of panes()) one.view = view;
  say(locked ? "all photos zoom together" : "each photo zooms alone");
  refresh();
}

function followPointer() {
  const stage = element("stage");
  const fingers = new Map(); // pointer -> where it is, as shares of its pane
  const share = (one, event) => {
    const box = one.getBoundingClientRect();
    return { x: (event.clientX - box.x) / box.width, y: (event.clientY - box.y) / box.height };
  };
  let held = null;
  stage.addEventListener("wheel", (event) => {
    const one = event.target.closest(".pane");
    if (!one) return;
    event.preventDefault();
    active = one;
    const { x, y } = share(one, event);
    look(zoomAt(viewOf(one), event.deltaY < 0 ? STEP : 1 / STEP, x, y), one);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    const one = event.target.closest(".pane");
    if (!one || event.button !== 0) return;
    if (one !== held) fingers.clear();
    held = active = one;
    fingers.set(event.pointerId, share(one, event));
    // A finger that may scroll the page is left to the browser.
    if (event.pointerType === "mouse" || viewOf(one).zoom > 1 || fingers.size > 1) one.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    const from = fingers.get(event.pointerId);
    const to = share(held, event);
    fingers.set(event.pointerId, to);
    const after = [...fingers.values()];
    if (after.length === 2) look(pinched(viewOf(held), before, after), held);
    else if (after.length === 1) look(panBy(viewOf(held), to.x - from.x, to.y - from.y), held);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
}

// --- what is shown ------------------------------------------------------------------------------

function valuesText(one) {
  const numbersOf = [["probability", one.probability, shareText], ["score", one.score, (value) => value.toFixed(4)]];
  const values = numbersOf.filter(([, value]) => value !== null);
  return values.map(([word, value, text]) => `${word} ${text(value)}`).join(", ");
}

function figure(one, place, decided) {
  const name = `Candidate ${place}`;
  const button = make("button", { type: "button", textContent: place > 5 ? "Same" : `Same (${place})` });
  button.setAttribute("aria-label", `Same whale as candidate ${place}`);
  if (place <= 5) button.setAttribute("aria-keyshortcuts", String(place));
  button.addEventListener("click", () => decide("same", place));
  const label = make("p", { className: "label", textContent: `${one.identity}, ${valuesText(one)}, ${one.photo}` });
  const unknown = one.unknown.length ? `, ${one.unknown.join(" and ")} not known` : "";
  const caption = make("figcaption", {}, button, ` ${name}${unknown}`, label);
  return make("figure", { className: decided ? "decided" : "" }, pane(one.views, name), caption);
}

function newFigure(one) {
  const name = `New photo ${one.number}`;
  const button = make("button", { type: "button", textContent: `Same as photo ${one.number}` });
  button.setAttribute("aria-label", `Same as photo ${one.number}: one new whale`);
  button.addEventListener("click", () => decideLike(one.number));
  const notes = [one.encounter ? "same encounter" : "", one.identity ? "joined already" : ""].filter(Boolean);
  const caption = make("figcaption", {}, button, ` ${[name, ...notes].join(", ")}`);
  const told = [one.identity, valuesText(one), one.name].filter(Boolean).join(", ");
  caption.append(make("p", { className: "label", textContent: told }));
  return make("figure", {}, pane(one.views, name), caption);
}

function albumFigure(one, place) {
  const told = Object.entries(one.details).map(([column, text]) => `${column} ${text}`);
  const words = make("figcaption", { textContent: told.join(", ") || "no date or place known" });
  words.append(make("p", { className: "label", textContent: one.photo }));
  return make("figure", {}, pane(one.views, `Photo ${place} of that candidate`), words);
}

function render(query) {
  shown = query;
  element("title").textContent = `Photo ${query.number}`;
  element("query-photo").replaceChildren(pane(query.views, "Query"));
  const fresh = query.new === null ? "" : `, probability of a new whale ${shareText(query.new)}`;
  element("query-label").textContent = query.name + fresh;
  const { who, nets, warning } = query.drawn ?? {};
  const asked = nets ? `; asked: ${nets}` : "";
  const warned = warning ? [make("strong", { textContent: ` ${warning}` })] : [];
  element("query-box").replaceChildren(...(query.drawn ? [`Box drawn by ${who}${asked}.`, ...warned] : []));
  const words = query.decided.map(({ who, decision, identity }) => {
    const named = make("span", { className: "label", textContent: identity ? ` as ${identity}` : "" });
    return make("span", {}, ` ${WORDS[decision]}`, named, ` (${who})`);
  });
  element("state").replaceChildren(query.state ? `${MARKS[query.state]} ` : "not decided", ...words);
  renderRight();
  for (const kind of MARKED) element(kind).value = query.marks[kind] ?? "";
  renderTogether();
  markCurrent();
}

// Photos that are decided together with the one shown; a box that is unticked stays, so that focus does.
function renderTogether() {
  const others = [...marked].filter(([number]) => number !== shown?.number);
  element("together").hidden = !others.length;
  element("mates").replaceChildren(...others.map(([number, one]) => {
    const box = make("input", { type: "checkbox", checked: one.on });
    box.addEventListener("change", () => {
      one.on = box.checked;
      sayTogether();
    });
    return make("label", {}, make("img", { src: one.views.crop, alt: "" }), box, ` Photo ${number}`);
  }));
  sayTogether();
}

function together() {
  return [...marked].filter(([number, one]) => one.on && number !== shown?.number).map(([number]) => number);
}

function sayTogether() {
  const others = together();
  element("together-title").textContent = others.length
    ? `Decided together: this photo, and ${photosText(others).toLowerCase()}`
    : "Decided alone";
}

// The candidates, or all photos of one of them.
function renderRight() {
  const named = new Set(shown.decided.filter((one) => one.decision === "same").map((one) => one.identity));
  const known = album
    ? album.photos.map((one, i) => albumFigure(one, i + 1))
    : shown.candidates.map((one, i) => figure(one, i + 1, named.has(one.identity)));
  const fresh = album ? [] : shown.among.map(newFigure);
  const heading = fresh.length ? [make("h3", { textContent: "New photos like this one" })] : [];
  const nobody = known.length ? [] : ["No candidates: the nets found no fluke, or nobody like it."];
  element("right-title").textContent = album
    ? `All photos of candidate ${album.place + 1}: ${known.length}`
    : "Candidates";
  element("candidates").replaceChildren(...nobody, ...known, ...heading, ...fresh);
  element("among-note").textContent = album ? "" : shown.note;
  const left = shown.left_out === 1 ? "1 candidate is" : `${shown.left_out} candidates are`;
  element("limited").textContent = album || !shown.left_out ? "" : `${left} left out by your limits.`;
  element("right").scrollTop = 0;
  choose(album ? 0 : Math.min(chosen, Math.max(0, figures().length - 1)));
}

function figures() {
  return [...element("candidates").querySelectorAll("figure")];
}

// byKey: chosen by a key, and to come into sight.
function choose(place, byKey = false) {
  chosen = place;
  figures().forEach((one, i) => {
    one.classList.toggle("chosen", i === place);
    if (i === place) one.setAttribute("aria-current", "true");
    else one.removeAttribute("aria-current");
    if (i === place && byKey) element("right").scrollTop = one.offsetTop - 40;
  });
  refresh();
}

function markCurrent() {
  for (const button of element("list").querySelectorAll("button")) {
    const current = shown !== null && Number(button.value) === shown.number;
    button.tabIndex = current ? 0 : -1;
    if (current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    // Not scrollIntoView, which would move the whole page too.
    if (current) element("list").scrollTop = button.offsetTop - button.offsetHeight;
  }
}

async function list() {
  const wanted = new URLSearchParams({ undecided: element("undecided").checked ? "1" : "" });
  for (const name of ["net", "min", "max", "identity"]) wanted.set(name, element(name).value);
  const answer = await ask(`api/queries?${wanted}`);
  numbers = answer.queries.map((one) => one.number);
  const total = `${answer.decided} of ${answer.total} photos decided`;
  element("progress").textContent = `${total}, ${numbers.length} listed`;
  const items = answer.queries.map(({ number, state }) => {
    const button = make("button", { type: "button", value: number, textContent: `${number} ${MARKS[state]}` });
    button.dataset.state = state;
    button.setAttribute("aria-label", `Photo ${number}, ${WORDS[state] ?? "not decided"}`);
    return make("li", {}, button);
  });
  element("list").replaceChildren(...items);
  markCurrent();
}

async function show(number) {
  const turn = ++asked;
  if (number === undefined) {
    shown = null;
    element("title").textContent = "No photo passes the filters";
    for (const id of ["query-photo", "candidates", "state", "query-label", "query-box", "limited", "among-note"]) element(id).replaceChildren();
    renderTogether();
    album = null;
    return;
  }
  const wanted = new URLSearchParams({ net: element("net").value });
  for (const name of LIMITS) wanted.set(name, element(name).value);
  const query = await ask(`api/queries/${number}?${wanted}`);
  if (turn !== asked) return;
  if (number !== shown?.number) {
    for (const [mate, one] of marked) if (one.of) marked.delete(mate); // the encounter of another photo
    view = REST;
    chosen = 0;
    album = null;
    active = null;
  }
  setInstead("");
  history.replaceState(null, "", `#${number}`);
  render(query);
}

// --- what people do -----------------------------------------------------------------------------

// One thing at a time, and faults are said, not swallowed.
async function guarded(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (fault) {
    say(fault.message, true);
  } finally {
    busy = false;
  }
}

function decide(decision, place) {
  return guarded(async () => {
    if (!shown) return;
    const { candidates } = shown;
    if (place > candidates.length) throw new Error(`there is no candidate ${place}`);
    const photo = place ? candidates[place - 1].photo : "";
    await send({ decision, photo }, `${WORDS[decision]}${place ? ` as candidate ${place}` : ""}`);
  });
}

async function send(decided, words) {
  const { number } = shown;
  const others = together();
  const { net, who } = { net: element("net").value, who: element("who").value };
  const answer = await ask("api/decisions", { ...decided, number, with: others, net, who });
  marked = new Map();
  const old = numbers;
  await list();
  await show(nextAfter(old, numbers, number));
  saidOf(answer, words);
}

function saidOf(answer, words) {
  const differ = answer.state === "conflict" ? "; people differ on it" : "";
  const called = answer.name && !words.includes(answer.name) ? `, called ${answer.name}` : "";
  say(`${photosText(answer.numbers)}: ${words}${called}${differ}`);
}

function decideLike(like) {
  return guarded(() => send({ like }, `one new individual with photo ${like}`));
}

function sameChosen() {
  const place = album ? album.place : chosen;
  const one = shown?.among[place - shown.candidates.length];
  return !album && one ? decideLike(one.number) : decide("same", place + 1);
}

function takeAlong() {
  if (!shown) return;
  if (!marked.delete(shown.number)) marked.set(shown.number, { views: shown.views, on: true });
  say(marked.has(shown.number) ? `Photo ${shown.number} is taken along: it is decided with the next one` : "Not taken along");
  renderTogether();
}

function wholeEncounter() {
  if (!shown) return;
  const mates = shown.together;
  if (!mates.length) {
    say("No other undecided photo is known to be of this encounter (a column encounter, or day and place, says it)");
    return;
  }
  const all = mates.every(({ number }) => marked.get(number)?.on);
  for (const { number, views } of mates) {
    if (all) marked.delete(number);
    else marked.set(number, { views, on: true, of: shown.number });
  }
  renderTogether();
  say(all ? "Decided alone" : element("together-title").textContent);
}

function mark(kind, value) {
  return guarded(async () => {
    if (!shown) return;
    const { number } = shown;
    const { marks } = await ask("api/marks", { number, who: element("who").value, kind, value });
    if (shown?.number === number) {
      shown.marks = marks;
      element(kind).value = marks[kind] ?? "";
    }
    say(`Photo ${number}: ${kind} ${marks[kind] ?? "not marked"}`);
  });
}

function askMark(kind) {
  marking = kind;
  say(`${kind}: 1, 2 or 3; 0 takes it away`);
}

function toNewPhotos() {
  const first = shown?.candidates.length ?? 0;
  if (album || !shown?.among.length) say("No new photo is like this one");
  else choose(first, true);
}

// --- groups of new photos -----------------------------------------------------------------------

function toggleGroups() {
  return guarded(async () => {
    if (grouped) await show(shown?.number ?? numbers[0]);
    else await showGroups();
  });
}

// instead: id of what stands in the place of the one photo, "" for nothing
function setInstead(instead) {
  grouped = instead === "groups";
  if (instead !== "drawing") drawing = null;
  for (const id of ["groups", "drawing"]) element(id).hidden = id !== instead;
  for (const id of ["query", "right", "naming"]) element(id).hidden = instead !== "";
}

// place: of the group whose button gets the focus, if there is one
async function showGroups(place) {
  const wanted = new URLSearchParams({ net: element("net").value, min: element("least").value });
  const { groups, note } = await ask(`api/clusters?${wanted}`);
  setInstead("groups");
  element("groups-title").textContent = `Groups of new photos: ${groups.length}`;
  element("groups-note").textContent = note || (groups.length ? "Untick what is somebody else." : "No photos are left to join.");
  element("grouped").replaceChildren(...groups.map((one, i) => groupForm(one, i)));
  refresh();
  if (place === undefined) return;
  const buttons = element("grouped").querySelectorAll("form button");
  (buttons[Math.min(place, buttons.length - 1)] ?? element("groups-title")).focus();
}

function groupForm(photos, place) {
  const boxes = photos.map(({ number }) => make("input", { type: "checkbox", checked: true, value: number }));
  const shownPhotos = photos.map((one, i) => {
    const words = make("label", {}, boxes[i], ` Photo ${one.number}${one.identity ? ", joined already" : ""}`);
    const best = one.best ? `best known: ${one.best.identity} ${shareText(one.best.value)}` : "";
    const told = make("p", { className: "label", textContent: [one.name, one.identity, best].filter(Boolean).join(", ") });
    return make("figure", {}, pane(one.views, `Photo ${one.number}`), make("figcaption", {}, words, told));
  });
  const name = make("input", { maxLength: 60, autocomplete: "off" });
  const button = make("button", { textContent: "One new individual" });
  button.setAttribute("aria-label", `Group ${place + 1}: one new individual`);
  const form = make("form", {}, make("label", {}, "Name (none: theirs, or one is made) ", name), button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    confirmGroup(boxes.filter((box) => box.checked).map((box) => Number(box.value)), name.value.trim(), place);
  });
  const legend = make("legend", { textContent: `Group ${place + 1}: ${photos.length} photos` });
  return make("fieldset", {}, legend, make("div", { className: "photos" }, ...shownPhotos), form);
}

function confirmGroup([number, ...others], name, place) {
  return guarded(async () => {
    if (!others.length) throw new Error("a group has two photos or more; tick them");
    const decided = name ? { identity: name } : { decision: "new" };
    const answer = await ask("api/decisions", { ...decided, number, with: others, who: element("who").value });
    await list();
    await showGroups(place);
    saidOf(answer, "one new individual");
  });
}

// --- the fluke's box ----------------------------------------------------------------------------

function startDrawing() {
  return guarded(async () => {
    if (!shown) return;
    const { number, box, size, drawn_by: by } = await ask(`api/boxes/${shown.number}`);
    setInstead("drawing");
    drawing = { number, size };
    element("drawing-title").textContent = `The fluke's box: photo ${number}, ${size[0]} x ${size[1]} pixels`;
    element("canvas-photo").src = shown.views.whole;
    element("as-detected").hidden = !by;
    CORNERS.forEach((id, i) => element(id).setAttribute("max", size[i % 2]));
    setBox(box.length ? box : [0, 0, ...size]);
    element("canvas").focus();
    say("Enter uses the box, Esc cancels");
  });
}

function stopDrawing() {
  setInstead("");
  refresh();
  say("the box stays as it was");
}

function typedBox() {
  return CORNERS.map((id) => element(id).valueAsNumber);
}

function setBox(box) {
  CORNERS.forEach((id, i) => {
    element(id).value = box[i];
  });
  outlineDrawn();
}

function outlineDrawn() {
  const [x1, y1, x2, y2] = typedBox();
  const [width, height] = drawing.size;
  const { style } = element("drawn");
  style.left = `${(100 * x1) / width}%`;
  style.top = `${(100 * y1) / height}%`;
  style.width = `${(100 * Math.max(0, x2 - x1)) / width}%`;
  style.height = `${(100 * Math.max(0, y2 - y1)) / height}%`;
}

function followDrawing() {
  const canvas = element("canvas");
  let from = null;
  const share = (event) => {
    const edge = element("canvas-photo").getBoundingClientRect();
    return { x: (event.clientX - edge.x) / edge.width, y: (event.clientY - edge.y) / edge.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    from = share(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from && event.isPrimary) setBox(boxBetween(from, share(event), drawing.size));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  for (const id of CORNERS) element(id).addEventListener("input", outlineDrawn);
  element("corners").addEventListener("submit", (event) => {
    event.preventDefault();
    useBox(typedBox());
  });
  element("as-detected").addEventListener("click", () => useBox(null));
  element("cancel-box").addEventListener("click", stopDrawing);
}

// True where a key belongs to the drawing; in a field or on a button it is that one's own.
function drawByKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return false;
  if (event.key === "Escape") stopDrawing();
  else if (event.target.closest("#corners")) return event.key === "Enter"; // left to the form
  else if (event.target.closest("input, select, button, summary")) return false;
  else if (event.key === "Enter") element("corners").requestSubmit();
  else if (event.key.startsWith("Arrow")) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const by = Math.max(1, Math.round(drawing.size[0] / 200));
    setBox(boxMoved(typedBox(), dx * by, dy * by, drawing.size, event.shiftKey));
  } else return false;
  event.preventDefault();
  return true;
}

// The nets take a while to load: meanwhile the page goes on, and says so.
async function useBox(box) {
  const { number } = drawing;
  const begin = Date.now();
  try {
    let { waiting } = await ask("api/boxes", { number, who: element("who").value, box });
    while (waiting) {
      say(`Photo ${number}: ${waiting} (${Math.round((Date.now() - begin) / 1000)} s); you can go on meanwhile`);
      await new Promise((resume) => { setTimeout(resume, 500); });
      ({ waiting } = await ask(`api/boxes/${number}/answer`));
    }
    const decided = shown?.number === number && shown.state ? "; the decision on it stays" : "";
    await list();
    if (shown?.number === number && !grouped) await show(number);
    const kept = box ? "the box is kept, and its candidates are found anew" : "the box is as it was detected";
    say(`Photo ${number}: ${kept}${decided}`);
  } catch (fault) {
    say(`Photo ${number}: ${fault.message}`, true);
  }
}

// A name that nobody has yet is asked for twice, since a slip of the finger would be a new whale.
let unknownName = "";

function decideByName() {
  return guarded(async () => {
    const name = element("name").value.trim();
    if (!shown || !name) return;
    const names = await ask("api/names");
    const known = names.known.includes(name);
    if (!known && !names.new.includes(name) && unknownName !== name) {
      unknownName = name;
      say(`Nobody is called ${name} yet: Enter again for a new individual of that name`);
      return;
    }
    unknownName = "";
    await send({ identity: name }, known ? `same as ${name}` : `new individual ${name}`);
    element("name").value = "";
    element("name").blur();
  });
}

async function offerNames() {
  const { known, new: fresh } = await ask("api/names");
  element("names").replaceChildren(
    ...fresh.map((value) => make("option", { value, label: `${value}, new` })),
    ...known.map((value) => make("option", { value })),
  );
}

function toggleAlbum() {
  return guarded(async () => {
    if (album) {
      chosen = album.place;
      album = null;
    } else {
      const one = shown?.candidates[chosen];
      if (!one) throw new Error("there is no candidate");
      const wanted = new URLSearchParams({ identity: one.identity });
      album = { place: chosen, ...(await ask(`api/photos?${wanted}`)) };
    }
    renderRight();
  });
}

function pair() {
  document.body.classList.toggle("pair");
  sessionStorage.setItem("pair", document.body.classList.contains("pair") ? "1" : "");
  look(REST);
  choose(chosen);
}

function moveChosen(by) {
  choose(moved(chosen, by, element("candidates").querySelectorAll("figure").length), true);
}

function undo() {
  return guarded(async () => {
    const answer = await ask("api/undo", { who: element("who").value });
    await list();
    if (grouped) await showGroups(0);
    else await show(answer.number);
    say(`${photosText(answer.numbers)}: ${answer.what ? `${answer.what} ` : ""}undone`);
  });
}

function step(by) {
  return guarded(async () => {
    const place = numbers.indexOf(shown?.number);
    const next = place < 0 ? numbers[0] : numbers[place + by];
    if (next !== undefined) await show(next);
    say(next === undefined ? "no more photos that way" : "");
  });
}

const handlers = {
  sameChosen,
  new: () => decide("new"),
  unsure: () => decide("unsure"),
  skip: () => decide("skip"),
  name: () => element("name").focus(), // at once: what is typed next must be the name
  along: takeAlong,
  encounter: wholeEncounter,
  fresh: toNewPhotos,
  groups: toggleGroups,
  draw: startDrawing,
  quality: () => askMark("quality"),
  distinctiveness: () => askMark("distinctiveness"),
  undo,
  previous: () => step(-1),
  next: () => step(1),
  above: () => moveChosen(-1),
  below: () => moveChosen(1),
  pair,
  album: toggleAlbum,
  overlays: () => {
    document.body.classList.toggle("overlays");
    refresh();
  },
  whole: () => {
    whole = !whole;
    look(REST);
  },
  zoomIn: () => zoomActive(STEP),
  zoomOut: () => zoomActive(1 / STEP),
  lock,
  turn: () => retouch("turn"),
  mirror: () => retouch("mirror"),
  light: () => retouch("light"),
  contrast: () => retouch("contrast"),
  reset: asBefore,
};
for (const place of [1, 2, 3, 4, 5]) handlers[`same${place}`] = () => decide("same", place);

function zoomActive(factor) {
  const one = activePane();
  if (one) look(zoomAt(viewOf(one), factor, 0.5, 0.5), one);
}

function onKey(event) {
  const { tagName, type, id } = event.target;
  if (drawing && drawByKey(event)) return;
  const done = event.key === "Enter" && tagName === "INPUT" && id !== "name";
  if (event.key === "Escape" || done) event.target.blur?.();
  const moves = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(tagName);
  if (event.shiftKey && moves[event.key] && !typing) {
    event.preventDefault();
    const one = activePane();
    if (one) look(panBy(viewOf(one), ...moves[event.key]), one);
    return;
  }
  const kind = marking;
  marking = event.repeat ? kind : null;
  if (kind && !typing && /^[0-3]$/.test(event.key)) {
    event.preventDefault();
    if (!event.repeat) mark(kind, event.key === "0" ? "" : `${kind[0].toUpperCase()}${event.key}`);
    return;
  }
  const action = actionOf(event, tagName, type);
  if (!action) return;
  event.preventDefault();
  act(action);
}

function act(action) {
  if (drawing) say("Enter uses the box, Esc cancels");
  else if (grouped && !IN_GROUPS.includes(action)) say("G closes the groups first");
  else handlers[action]();
}

function help() {
  const names = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  for (const [action, [keys, text]] of Object.entries(ACTIONS)) {
    const marks = keys.map((key) => make("kbd", { textContent: names[key] ?? key.toUpperCase() }));
    element("keys").append(make("dt", {}, ...marks), make("dd", { textContent: text }));
    if (/^same\d/.test(action)) continue;
    const [first, ...rest] = text;
    const words = `${first.toUpperCase()}${rest.join("")} (${marks[0].textContent})`;
    const button = make("button", { type: "button", id: `do-${action}`, textContent: words });
    button.setAttribute("aria-keyshortcuts", keys[0]);
    button.addEventListener("click", () => act(action));
    element(ALWAYS.includes(action) ? "buttons" : "more").append(button);
  }
}

// Filters stay over a reload, in this tab.
function remember(field) {
  sessionStorage.setItem(field.id, field.type === "checkbox" ? (field.checked ? "1" : "") : field.value);
}

function recall(field) {
  const kept = sessionStorage.getItem(field.id);
  if (kept === null) return;
  if (field.type === "checkbox") field.checked = kept === "1";
  else if (field.tagName !== "SELECT" || [...field.options].some((one) => one.value === kept)) field.value = kept;
}

async function start() {
  help();
  followPointer();
  followDrawing();
  document.addEventListener("keydown", onKey);
  const who = element("who");
  // A name typed here stays for this tab alone: others may use the same program.
  who.value = sessionStorage.getItem("who") ?? who.value;
  who.addEventListener("change", () => sessionStorage.setItem("who", who.value));
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("naming").addEventListener("submit", (event) => {
    event.preventDefault();
    decideByName();
  });
  // Not guarded: what is typed meanwhile is not to be lost.
  element("name").addEventListener("focus", () => offerNames().catch((fault) => say(fault.message, true)));
  element("linking").addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(() => showGroups());
  });
  document.body.classList.toggle("pair", sessionStorage.getItem("pair") === "1");
  for (const kind of MARKED) element(kind).addEventListener("change", (event) => mark(kind, event.target.value));
  element("limits").open = LIMITS.some((id) => sessionStorage.getItem(id));
  for (const id of FILTERS) {
    recall(element(id));
    element(id).addEventListener("change", (event) => {
      remember(event.target);
      if (event.target.tagName === "SELECT") event.target.blur();
      guarded(async () => {
        await list();
        say("");
        await show(numbers.includes(shown?.number) ? shown.number : numbers[0]);
      });
    });
  }
  element("list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) guarded(() => show(Number(button.value)));
  });
  await guarded(async () => {
    await list();
    const number = Number(location.hash.slice(1));
    await show(numbers.includes(number) ? number : numbers[0]);
  });
}

start();
