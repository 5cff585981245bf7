// On the page of a new account: shows the fields of the provider that is chosen, and no others.
"use strict";
{
  const provider = document.querySelector("select#id_provider");
  const show = () => {
    for (const fields of document.querySelectorAll("fieldset.provider-fields")) {
      fields.hidden = !fields.classList.contains(`provider-${provider.value}`);
    }
  };
  if (provider) {
    provider.addEventListener("change", show);
    show();
  }
}
