// Buttons in the headings sort the rows: first ascending, then descending.
document.querySelectorAll("thead th button").forEach((button) => {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heading.parentNode.querySelectorAll("th").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const order = (a, b) => heading.classList.contains("number")
      ? Number(key(a)) - Number(key(b))
      : key(a).localeCompare(key(b));
    [...body.rows].sort((a, b) => sign * order(a, b)).forEach((row) => body.append(row));
  });
});
