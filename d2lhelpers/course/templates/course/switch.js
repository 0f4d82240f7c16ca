// The link to the other language leads to the place that is being read: the last cell whose top
// has passed under the header. Without a script it leads to the top of the page.
for (const link of document.querySelectorAll("a.switch")) {
  link.addEventListener("click", () => {
    const line = document.querySelector("header").getBoundingClientRect().bottom + 24;
    const passed = [...document.querySelectorAll("main > [id]")].filter(
      (cell) => cell.getBoundingClientRect().top <= line,
    );
    link.hash = passed.length ? passed.at(-1).id : "";
  });
}
