"use strict";
// Sending the form takes a while, and a second click would change nothing: the button works once
// per page.
(() => {
    const form = document.getElementById("campaign_form");
    const button = form.querySelector("input[type=submit]");
    form.addEventListener("submit", () => { button.disabled = true; });
    window.addEventListener("pageshow", () => { button.disabled = false; });
})();
