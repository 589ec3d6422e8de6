// The page: asks the server, shows what it says, and sends what a person decides.

import { ACTIONS, actionOf, nextAfter, panBy, shareText, zoomAt } from "./logic.mjs";

const MARKS = { "": "", same: "✓", new: "✦", skip: "–", conflict: "≠" };
const WORDS = { same: "same", new: "new individual", skip: "skipped", conflict: "people differ" };
const REST = { zoom: 1, x: 0, y: 0 };
const STEP = 1.25;
const element = (id) => document.getElementById(id);
const given = name => document.querySelector(`meta[name=review-${name}]`).content;
const token = given("token");
document.documentElement.style.setProperty("--shape", given("shape"));

let view = REST;
let whole = false;
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
  return whole ? views.whole : view.zoom > 1 ? views.large : views.crop;
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
  const made = make("div", { className: "pane" }, make("div", { className: "sheet" }, frame));
  return Object.assign(made, { views, image, frame });
}

function panes() {
  return [...document.querySelectorAll(".pane")];
}

function refresh() {
  for (const one of panes()) {
    if (one.image.getAttribute("src") !== source(one.views)) one.image.src = source(one.views);
  }
  for (const [name, value] of Object.entries(view)) {
    element("stage").style.setProperty(`--${name}`, value);
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

function look(changed) {
  view = changed;
  refresh();
}

function followPointer() {
  const stage = element("stage");
  let from = null;
  stage.addEventListener("wheel", (event) => {
    const box = event.target.closest(".pane")?.getBoundingClientRect();
    if (!box) return;
    event.preventDefault();
    const factor = event.deltaY < 0 ? STEP : 1 / STEP;
    look(zoomAt(view, factor, (event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    const one = event.target.closest(".pane");
    if (!one || event.button !== 0) return;
    one.setPointerCapture(event.pointerId);
    from = { one, x: event.clientX, y: event.clientY };
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const box = from.one.getBoundingClientRect();
    look(panBy(view, (event.clientX - from.x) / box.width, (event.clientY - from.y) / box.height));
    Object.assign(from, { x: event.clientX, y: event.clientY });
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => {
      from = null;
    });
  }
}

// --- what is shown ------------------------------------------------------------------------------

function figure(one, place, chosen) {
  const name = `Candidate ${place}`;
  const button = make("button", { type: "button", textContent: place > 5 ? "Same" : `Same (${place})` });
  button.setAttribute("aria-label", `Same whale as candidate ${place}`);
  if (place <= 5) button.setAttribute("aria-keyshortcuts", String(place));
  button.addEventListener("click", () => decide("same", place));
  const numbersOf = [["probability", one.probability, shareText], ["score", one.score, (value) => value.toFixed(4)]];
  const values = numbersOf.filter(([, value]) => value !== null);
  const told = values.map(([word, value, text]) => `${word} ${text(value)}`).join(", ");
  const label = make("p", { className: "label", textContent: `${one.identity}, ${told}, ${one.photo}` });
  const caption = make("figcaption", {}, button, ` ${name}`, label);
  const made = make("figure", { className: chosen ? "chosen" : "" }, pane(one.views, name), caption);
  return made;
}

function render(query) {
  shown = query;
  element("title").textContent = `Photo ${query.number}`;
  element("query-photo").replaceChildren(pane(query.views, "Query"));
  const fresh = query.new === null ? "" : `, probability of a new whale ${shareText(query.new)}`;
  element("query-label").textContent = query.name + fresh;
  const words = query.decided.map(({ who, decision, identity }) => {
    const named = make("span", { className: "label", textContent: identity ? ` as ${identity}` : "" });
    return make("span", {}, ` ${WORDS[decision]}`, named, ` (${who})`);
  });
  element("state").replaceChildren(query.state ? `${MARKS[query.state]} ` : "not decided", ...words);
  const chosen = new Set(query.decided.filter((one) => one.decision === "same").map((one) => one.identity));
  const figures = query.candidates.map((one, i) => figure(one, i + 1, chosen.has(one.identity)));
  element("candidates").replaceChildren(...figures);
  element("candidates").scrollTop = 0;
  if (!figures.length) element("candidates").textContent = "No candidates: the nets found no fluke, or nobody like it.";
  refresh();
  markCurrent();
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
    for (const id of ["query-photo", "candidates", "state", "query-label"]) element(id).replaceChildren();
    return;
  }
  const query = await ask(`api/queries/${number}?${new URLSearchParams({ net: element("net").value })}`);
  if (turn !== asked) return;
  if (number !== shown?.number) view = REST;
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
    const { number, candidates } = shown;
    if (place > candidates.length) throw new Error(`there is no candidate ${place}`);
    const photo = place ? candidates[place - 1].photo : "";
    const body = { number, decision, photo, net: element("net").value, who: element("who").value };
    const answer = await ask("api/decisions", body);
    const old = numbers;
    await list();
    await show(nextAfter(old, numbers, number));
    const differ = answer.state === "conflict" ? "; people differ on it" : "";
    say(`Photo ${number}: ${WORDS[decision]}${place ? ` as candidate ${place}` : ""}${differ}`);
  });
}

function undo() {
  return guarded(async () => {
    const { number } = await ask("api/undo", { who: element("who").value });
    await list();
    await show(number);
    say(`Photo ${number}: undone`);
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
  new: () => decide("new"),
  skip: () => decide("skip"),
  undo,
  previous: () => step(-1),
  next: () => step(1),
  overlays: () => {
    document.body.classList.toggle("overlays");
    refresh();
  },
  whole: () => {
    whole = !whole;
    look(REST);
  },
  zoomIn: () => look(zoomAt(view, STEP, 0.5, 0.5)),
  zoomOut: () => look(zoomAt(view, 1 / STEP, 0.5, 0.5)),
  reset: () => look(REST),
};
for (const place of [1, 2, 3, 4, 5]) handlers[`same${place}`] = () => decide("same", place);

function onKey(event) {
  const { tagName, type } = event.target;
  if (event.key === "Escape" || (event.key === "Enter" && tagName === "INPUT")) event.target.blur?.();
  const moves = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(tagName);
  if (event.shiftKey && moves[event.key] && !typing) {
    event.preventDefault();
    look(panBy(view, ...moves[event.key]));
    return;
  }
  const action = actionOf(event, tagName, type);
  if (!action) return;
  event.preventDefault();
  handlers[action]();
}

function help() {
  const names = { ArrowLeft: "←", ArrowRight: "→" };
  for (const [action, [keys, text]] of Object.entries(ACTIONS)) {
    const marks = keys.map((key) => make("kbd", { textContent: names[key] ?? key.toUpperCase() }));
    element("keys").append(make("dt", {}, ...marks), make("dd", { textContent: text }));
    if (action.startsWith("same")) continue;
    const [first, ...rest] = text;
    const words = `${first.toUpperCase()}${rest.join("")} (${marks[0].textContent})`;
    const button = make("button", { type: "button", id: `do-${action}`, textContent: words });
    button.setAttribute("aria-keyshortcuts", keys[0]);
    button.addEventListener("click", () => handlers[action]());
    element("buttons").append(button);
  }
}

async function start() {
  help();
  followPointer();
  document.addEventListener("keydown", onKey);
  const who = element("who");
  // A name typed here stays for this tab alone: others may use the same program.
  who.value = sessionStorage.getItem("who") ?? who.value;
  who.addEventListener("change", () => sessionStorage.setItem("who", who.value));
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["net", "min", "max", "identity", "undecided"]) {
    element(id).addEventListener("change", (event) => {
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
