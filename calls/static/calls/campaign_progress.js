"use strict";
// Keeps the counts on a campaign's page up to date until the campaign has ended. It rests while
// nobody looks at the page, and stops for good when it is no longer answered. A change of status
// loads the page anew, for what can be done with the campaign changes too.
(() => {
    const EVERY_MS = 2000;
    const section = document.getElementById("campaign-progress");
    if (!section || section.dataset.ended === "true") {
        return;
    }
    let timer = null;

    function tableRow({label, number, url}) {
        const link = document.createElement("a");
        link.href = url;
        link.textContent = label;
        const row = document.createElement("tr");
        row.insertCell().append(link);
        row.insertCell().textContent = number;
        return row;
    }

    function show(progress) {
        for (const name of ["ended", "total"]) {
            section.querySelector(`[data-show=${name}]`).textContent = progress[name];
        }
        const bar = section.querySelector("progress");
        bar.max = progress.total;
        bar.value = progress.ended;
        for (const name of ["statuses", "outcomes"]) {
            const rows = progress[name].map(tableRow);
            section.querySelector(`[data-rows=${name}]`).replaceChildren(...rows);
        }
    }

    async function refresh() {
        timer = null;
        let response;
        try {
            response = await fetch(section.dataset.url, {headers: {Accept: "application/json"}});
        } catch {
            return schedule(); // the network, perhaps only for a moment
        }
        if (response.status >= 500) {
            return schedule();
        }
        if (!response.ok || response.redirected) {
            return; // logged out, or no longer allowed
        }
        const progress = await response.json();
        if (progress.status !== section.querySelector("[data-show=status]").textContent) {
            return window.location.reload();
        }
        show(progress);
        schedule();
    }

    function schedule() {
        if (timer === null && !document.hidden) {
            timer = setTimeout(refresh, EVERY_MS);
        }
    }

    document.addEventListener("visibilitychange", () => {
        clearTimeout(timer);
        timer = null;
        schedule();
    });
    schedule();
})();
