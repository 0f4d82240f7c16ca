// The frame of a page: theme, contents, copy buttons, the other language, what has been read.
const words = JSON.parse(document.getElementById("page-words").textContent);
const page = document.body.dataset.page;

// What is kept is kept in this browser; where that is forbidden, the page works without.
window.kept = {
  get(key) { try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; } },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch {} },
};

// Light or dark: the system's choice until the reader makes another.
const theme = document.getElementById("page-theme-button");
const system = matchMedia("(prefers-color-scheme: dark)");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const choice = dark ? "light" : "dark";
  root.dataset.theme = choice;
  try {
    if ((choice === "dark") === system.matches) localStorage.removeItem("d2l-theme");
    else localStorage.setItem("d2l-theme", choice);
  } catch {}
});

// The other language's link leads to the place that is being read.
const line = () => document.querySelector("body > header").getBoundingClientRect().bottom + 24;
const passed = (elements) => elements.filter((e) => e.getBoundingClientRect().top <= line()).at(-1);
for (const link of document.querySelectorAll("a.switch"))
  link.addEventListener("click", () => {
    const shown = [...document.querySelectorAll(".cell")].filter((cell) => cell.offsetParent);
    link.hash = passed(shown)?.id ?? "";
  });

const inView = (e) => e && e.getBoundingClientRect().top >= 0 && e.getBoundingClientRect().top < innerHeight;

// Only what scrolls sideways is a stop for the Tab key.
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
document.querySelectorAll("main [tabindex='0']").forEach((each) => sized.observe(each));

for (const input of navigator.clipboard ? document.querySelectorAll(".input") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = words.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(input.querySelector("pre").textContent);
    button.textContent = words.copied;
    setTimeout(() => (button.textContent = words.copy), 2000);
  });
  input.append(button);
}

// The contents mark the section that is being read, which from then on counts as read.
const links = [...document.querySelectorAll("#page-contents .contents a")];
const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
const contents = document.getElementById("page-contents");
if (headings.length) {
  let moved = false; // a look at a chapter's top is not yet reading it
  const mark = () => {
    const { scrollTop, clientHeight, scrollHeight } = document.documentElement;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 2; // where short sections end the page
    const target = headings.find((heading) => `#${heading.id}` === location.hash);
    const current = atEnd && scrollTop ? (inView(target) ? target : headings.at(-1)) : passed(headings);
    for (const [i, link] of links.entries()) {
      if (headings[i] === current) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
    if (!current || !moved) return;
    const here = links[headings.indexOf(current)];
    const box = here.getBoundingClientRect(), frame = contents.getBoundingClientRect();
    if (box.top < frame.top || box.bottom > frame.bottom)
      contents.scrollTop += box.top - frame.top - frame.height / 2;
    const all = kept.get("d2l-read"), own = all[page] ?? { sections: [] };
    own.sections = [...new Set([...own.sections, current.id])];
    all[page] = { ...own, of: headings.length };
    kept.set("d2l-read", { ...all, last: page, place: current.id });
  };
  addEventListener("scroll", () => (moved = true), { once: true, passive: true });
  const observer = new IntersectionObserver(mark, { rootMargin: `-${Math.ceil(line())}px 0px 0px` });
  headings.forEach((heading) => observer.observe(heading));
  addEventListener("scrollend", mark);
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && contents.matches(":popover-open")) contents.hidePopover();
  });
  contents.addEventListener("toggle", () => contents.querySelector("[aria-current=location]")?.focus());
}

// Lists of chapters say what has been read.
const read = kept.get("d2l-read");
for (const link of document.querySelectorAll("[data-chapter]")) {
  const own = read[link.dataset.chapter];
  if (!own) continue;
  link.classList.toggle("done", own.sections.length >= own.of);
  if (page !== "index") continue;
  const note = document.createElement("span");
  note.className = "read";
  note.textContent = `${words.sections_read}${own.sections.length}/${own.of}`;
  link.after(note);
}
const last = document.querySelector(".go-on a");
const title = document.querySelector(`[data-chapter="${read.last}"]`);
if (last && title) {
  last.href = `${read.last}.html#${read.place}`;
  last.textContent = title.textContent;
  last.parentElement.hidden = false;
}
