// Search in the headings and the text of all chapters, from the index in the page.
const words = JSON.parse(document.getElementById("page-words").textContent);
const dialog = document.getElementById("page-search");
const input = dialog.querySelector("input");
const list = dialog.querySelector("ol");
const status = dialog.querySelector("[role=status]");
const open = document.getElementById("page-search-button");
let sections = null; // a promise of them, once they are needed

async function load() { // the index is JSON, deflated, in base64
  const packed = atob(document.getElementById("page-index").textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const chapters = await new Response(unpacked).json();
  return chapters.flatMap(([name, chapter, parts]) =>
    parts.map(([place, heading, text]) => ({
      href: `${name}.html#${place}`, chapter, heading, text,
      low: `${heading}\n${text}`.toLowerCase(), lowHeading: heading.toLowerCase(),
    })),
  );
}

async function find(query) {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!terms.length) return [];
  return (await (sections ??= load()))
    .filter((s) => terms.every((term) => s.low.includes(term)))
    .map((s) => ({ ...s, score: terms.filter((term) => s.lowHeading.includes(term)).length, terms }))
    .sort((a, b) => b.score - a.score)
    .slice(0, 20);
}

function marked(text, terms) { // the text around the first term, with all terms marked
  const low = text.toLowerCase();
  const at = Math.min(...terms.map((t) => low.indexOf(t)).filter((i) => i >= 0), text.length);
  const from = at === text.length ? 0 : Math.max(0, at - 40);
  const part = (from ? "…" : "") + text.slice(from, from + 140);
  const small = document.createElement("small");
  const pattern = terms.map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  for (const [i, piece] of part.split(new RegExp(`(${pattern})`, "i")).entries()) {
    const node = document.createElement(i % 2 ? "mark" : "span");
    node.textContent = piece;
    small.append(node);
  }
  return small;
}

async function show() {
  const query = input.value;
  const found = await find(query);
  if (input.value !== query) return; // typed on meanwhile
  status.textContent = query.trim() && !found.length ? words.found_nothing : "";
  list.replaceChildren(
    ...found.map((section) => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = section.href;
      link.append(`${section.heading} · ${section.chapter}`, marked(section.text, section.terms));
      link.addEventListener("click", () => dialog.close());
      item.append(link);
      return item;
    }),
  );
}

const start = () => { dialog.showModal(); input.select(); };
open.hidden = false;
open.addEventListener("click", start);
input.addEventListener("input", show);
dialog.querySelector("form").addEventListener("submit", (event) => {
  if (event.submitter !== null && document.activeElement !== input) return; // the close button
  event.preventDefault();
  list.querySelector("a")?.click();
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, [contenteditable]")) return;
  event.preventDefault();
  start();
});
