"use strict";
// The places of a row; `rows.rs` writes them.
const [INDEX, SOURCE, VERDICT, IMAGE, REASONS, BOXES, IMAGES, UNKNOWN, KNOWN, IMAGE_ID, REQUEST_ID, RATIO, SCREEN] =
  Array(13).keys();
const PAGE = 24;
const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const controls = document.getElementById("controls");
const grid = document.getElementById("grid");
const CLASSES = {
  accepted: "good", eligible: "good", rejected_local: "bad", rejected_remote: "bad", box_mismatch: "bad",
};
let shown = [];
let page = 0;

// Texts are set as texts, never as markup.
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function fill(select, names) {
  for (const name of [...new Set(names)].sort()) {
    const option = element("option", "", name);
    option.value = name;
    select.append(option);
  }
}

function pixels(row) {
  return row[IMAGE] ? row[IMAGE][1] * row[IMAGE][2] : 0;
}

function money(row) {
  return row[KNOWN] ? 0 : row[IMAGES] + (row[UNKNOWN] ? 0.5 : 0);
}

const ORDERS = {
  "-index": (a, b) => b[1] - a[1],
  size: (a, b) => pixels(data.rows[a[0]]) - pixels(data.rows[b[0]]),
  "-size": (a, b) => pixels(data.rows[b[0]]) - pixels(data.rows[a[0]]),
  "-money": (a, b) => money(data.rows[b[0]]) - money(data.rows[a[0]]),
};

function choose() {
  const verdict = controls.elements.verdict.value;
  const code = data.codes.findIndex((one) => one.code === controls.elements.reason.value);
  const anyReason = controls.elements.reason.value === "";
  const words = controls.elements.q.value.trim().toLowerCase();
  const found = [];
  data.rows.forEach((row, at) => {
    if (verdict && row[VERDICT] !== verdict) return;
    if (!anyReason && !row[REASONS].some((reason) => reason[0] === code)) return;
    if (words) {
      const id = row[IMAGE_ID] ? row[IMAGE_ID].toLowerCase() : "";
      if (!row[SOURCE].toLowerCase().includes(words) && !id.includes(words)) return;
    }
    found.push([at, row[INDEX]]);
  });
  found.sort((a, b) => a[1] - b[1]);
  const order = ORDERS[controls.elements.sort.value];
  if (order) found.sort(order);
  shown = found.map((one) => one[0]);
}

// How an image as it is stored is shown, by its EXIF orientation: sides and points.
function displayed(image) {
  const [, width, height, orientation] = image;
  const turned = orientation >= 5;
  const point = [
    null,
    (x, y) => [x, y],
    (x, y) => [width - x, y],
    (x, y) => [width - x, height - y],
    (x, y) => [x, height - y],
    (x, y) => [y, x],
    (x, y) => [height - y, x],
    (x, y) => [height - y, width - x],
    (x, y) => [y, width - x],
  ][orientation];
  return { width: turned ? height : width, height: turned ? width : height, point };
}

function outline(kind, box, point) {
  const [a, b] = [point(box[0], box[1]), point(box[2], box[3])];
  return ["halo", kind].map((className) => {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", className);
    rect.setAttribute("x", Math.min(a[0], b[0]));
    rect.setAttribute("y", Math.min(a[1], b[1]));
    rect.setAttribute("width", Math.abs(a[0] - b[0]));
    rect.setAttribute("height", Math.abs(a[1] - b[1]));
    return rect;
  });
}

function isWebAddress(text) {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}

function picture(row, at) {
  const frame = element("div", "picture");
  const own = data.pictures[at];
  if (!own && !isWebAddress(row[SOURCE])) {
    frame.append(element("span", "", "no web address"));
    return frame;
  }
  const shape = row[IMAGE] && displayed(row[IMAGE]);
  const image = element("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.referrerPolicy = "no-referrer";
  image.alt = `Image ${row[INDEX]}`;
  const note = (text) => frame.replaceChildren(element("span", "", text));
  image.addEventListener("error", () => note("the image cannot be shown"));
  image.addEventListener("load", () => {
    const same = own || !shape
      || (image.naturalWidth === shape.width && image.naturalHeight === shape.height);
    if (same) return;
    frame.querySelector("svg")?.remove();
    frame.title = `The image has changed: it has ${image.naturalWidth}×${image.naturalHeight} px now`;
  });
  image.src = own || row[SOURCE];
  frame.append(image);
  const screen = row[SCREEN] ? row[SCREEN][0] : [];
  if ((row[BOXES] || screen.length > 0) && shape) {
    const overlay = document.createElementNS(SVG, "svg");
    overlay.setAttribute("viewBox", `0 0 ${shape.width} ${shape.height}`);
    overlay.setAttribute("role", "img");
    overlay.setAttribute("aria-label", "boxes: the face, dashed the dynamic area, dotted what the face screen saw");
    for (const face of screen) overlay.append(...outline("screen", face, shape.point));
    if (row[BOXES]) {
      overlay.append(...outline("ext", row[BOXES][1], shape.point), ...outline("face", row[BOXES][0], shape.point));
    }
    frame.append(overlay);
  }
  return frame;
}

function bill(row) {
  if (row[UNKNOWN]) return "bill unknown";
  if (row[IMAGES] === 0) return "free";
  const amount = `CNY ${(row[IMAGES] * 0.004).toFixed(3)}`;
  return row[KNOWN] ? `${amount}, paid before` : amount;
}

function card(at) {
  const row = data.rows[at];
  const item = element("li");
  item.append(picture(row, at));
  const head = element("p");
  head.append(element("span", `verdict ${CLASSES[row[VERDICT]] || "open"}`, row[VERDICT]));
  item.append(head);
  const source = element("p");
  if (isWebAddress(row[SOURCE])) {
    const link = element("a", "", row[SOURCE]);
    link.href = row[SOURCE];
    link.rel = "noreferrer noopener";
    source.append(link);
  } else {
    source.textContent = row[SOURCE];
  }
  item.append(source);
  const size = row[IMAGE] ? `${row[IMAGE][0]} ${row[IMAGE][1]}×${row[IMAGE][2]} px` : "size not known";
  const turned = row[IMAGE] && row[IMAGE][3] > 1 ? `, EXIF orientation ${row[IMAGE][3]}` : "";
  const name = row[IMAGE_ID] ? ` · ${row[IMAGE_ID]}` : "";
  const facts = `${row[INDEX]}${name} · ${size}${turned} · ${row[RATIO]} · ${bill(row)}`;
  item.append(element("p", "facts", facts));
  if (row[REASONS].length > 0) {
    const list = element("ul");
    for (const [code, message] of row[REASONS]) {
      const reason = element("li", "", data.messages[message]);
      const { code: name, advice } = data.codes[code];
      reason.title = name;
      if (advice) reason.append(element("p", "advice", advice));
      list.append(reason);
    }
    item.append(list);
  }
  if (row[SCREEN] && row[SCREEN][1]) item.append(element("p", "facts", `face screen: ${row[SCREEN][1]}`));
  if (row[REQUEST_ID]) item.append(element("p", "facts", `request ${row[REQUEST_ID]}`));
  return item;
}

function show() {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  grid.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(card));
  document.getElementById("found").textContent =
    `${shown.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} images`;
  document.getElementById("page").textContent = `Page ${page + 1} of ${pages}`;
  document.getElementById("pages").hidden = pages === 1;
  for (const button of document.querySelectorAll("#pages button")) {
    const back = button.value === "first" || button.value === "back";
    button.disabled = back ? page === 0 : page === pages - 1;
  }
}

// A view is its fragment: `#verdict=rejected_remote&page=2`.
function read() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const control of controls.elements) {
    const value = wanted.get(control.name) || "";
    if (control.value !== value) control.value = value;
    // A code that does not occur matches nothing, rather than everything.
    if (control.value !== value && control.tagName === "SELECT") {
      const option = element("option", "", value);
      option.value = value;
      control.append(option);
      control.value = value;
    }
  }
  page = (Number.parseInt(wanted.get("page"), 10) || 1) - 1;
  choose();
  show();
}

function write() {
  const view = new URLSearchParams();
  for (const control of controls.elements) {
    if (control.value) view.set(control.name, control.value);
  }
  if (page > 0) view.set("page", page + 1);
  history.replaceState(null, "", `#${view}`);
}

fill(controls.elements.verdict, data.rows.map((row) => row[VERDICT]));
fill(controls.elements.reason, data.codes.map((one) => one.code));
controls.addEventListener("submit", (event) => event.preventDefault());
function anew() {
  page = 0;
  choose();
  show();
  write();
}
controls.addEventListener("change", anew);
controls.elements.q.addEventListener("input", anew);
document.getElementById("pages").addEventListener("click", (event) => {
  const last = Math.ceil(shown.length / PAGE) - 1;
  const to = { first: 0, back: page - 1, on: page + 1, last }[event.target.value];
  if (to === undefined) return;
  page = to;
  show();
  write();
  document.getElementById("results").scrollIntoView();
});
addEventListener("hashchange", read);
read();
