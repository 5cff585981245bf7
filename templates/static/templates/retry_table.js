"use strict";
// Moves the button for the recommended retries to its table, and has it fill in the table on the
// spot. Without this script the button asks the server to do so.
(() => {
    const table = document.querySelector("[data-retry-rules]");
    const row = document.querySelector("[data-recommend-row]");
    if (!table || !row) {
        return;
    }
    const button = row.querySelector("input");
    button.type = "button";
    button.addEventListener("click", () => {
        for (const cell of table.querySelectorAll("[data-recommended]")) {
            cell.value = cell.dataset.recommended;
        }
    });
    table.querySelector("table").after(button);
    row.remove();
})();
