"use strict";

SwaggerUIBundle({
  dom_id: "#docs",
  url: document.getElementById("docs").dataset.schema,
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null, // its badge would ask a server on the internet
});
