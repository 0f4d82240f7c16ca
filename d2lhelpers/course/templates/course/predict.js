// Predict, then see: what a prediction is about stays hidden until the reader has made one.
const words = JSON.parse(document.getElementById("page-words").textContent);
const page = document.body.dataset.page;

for (const cell of document.querySelectorAll(".predict")) {
  const about = [...document.querySelectorAll(`[data-prediction="${cell.id}"]`)];
  const hidden = about.flatMap((each) =>
    each.matches(".code") ? [...each.querySelectorAll(":scope > .output")] : [each],
  );
  const buttons = [...cell.querySelectorAll("button")];
  const told = cell.querySelector(".told");
  const reveal = (choice) => {
    hidden.forEach((each) => { each.hidden = false; each.classList.remove("waiting"); });
    buttons.forEach((b) => b.setAttribute("aria-pressed", b.dataset.mark === choice));
    const marks = about.flatMap((each) => [...each.querySelectorAll(".verdict")]);
    const outcome = marks.map((each) => each.dataset.mark).join(" ");
    const yours = choice ? `${words.yours}${choice}. ` : "";
    told.textContent = `${yours}${words.outcome}${outcome}`;
  };
  const key = `${page}/${cell.id}`;
  const earlier = kept.get("d2l-predictions")[key];
  cell.querySelector(".choices").hidden = false;
  if (earlier !== undefined) reveal(earlier);
  else hidden.forEach((each) => { each.hidden = true; each.classList.add("waiting"); });
  for (const button of buttons)
    button.addEventListener("click", () => {
      reveal(button.dataset.mark);
      kept.set("d2l-predictions", { ...kept.get("d2l-predictions"), [key]: button.dataset.mark });
    });
  // A link or a search may lead to what is still hidden, or folded.
  const follow = () => about.some((e) => `#${e.id}` === location.hash) && reveal("");
  addEventListener("hashchange", follow);
  follow();
}

const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let each = target; each; each = each.parentElement) if (each.matches("details")) each.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", unfold);
if (location.hash) unfold();
