"use strict";
// A second click on the button would launch a second campaign: the button works once per page.
(() => {
    const form = document.getElementById("campaign_form");
    const button = form.querySelector("input[type=submit]");
    form.addEventListener("submit", () => { button.disabled = true; });
    window.addEventListener("pageshow", () => { button.disabled = false; });
})();
