// Place two calls, safely repeated, and verify the webhooks that tell of them.
// Standard library only, Node 18 or newer: node bulk_call.cjs client.json endpoint.json
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const { setTimeout: sleep } = require("node:timers/promises");

const API = process.env.API_URL ?? "http://127.0.0.1:8000";
const TOLERANCE_SECONDS = 300;
const MAX_BODY_BYTES = 5_000_000;
const TRIES = 5;
const WAIT_SECONDS = 120;

const CONTACTS = [
  {
    numberToCall: "+966500000001",
    firstName: "Ahmed",
    metadata: { invoiceNumber: "INV-001" },
    promptTags: { amount: "5,000 SAR", due_date: "January 15, 2026" },
  },
  {
    numberToCall: "0500000002", // a local number: read by countryCode
    firstName: "Sara",
    metadata: { invoiceNumber: "INV-002" },
    promptTags: { amount: "3,200 SAR", due_date: "January 20, 2026" },
  },
];

// --- Asking --------------------------------------------------------------------------------------

// POST JSON; return the answer. A request that may have been lost is sent again.
// That is safe for a bulk request only because it carries an Idempotency-Key: with the same key
// and the same body, the second time answers what the first did, and calls nobody anew.
async function post(path, body, headers) {
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    let status;
    let text;
    let wait = attempt;
    try {
      const answer = await fetch(API + path, { ...request, signal: AbortSignal.timeout(60_000) });
      status = answer.status;
      wait = Number(answer.headers.get("Retry-After") ?? attempt);
      text = await answer.text();
      if (answer.ok) return JSON.parse(text);
    } catch {
      status = 503; // no answer, or half of one: nobody knows whether it was taken
    }
    // Any other status: the same request again would be refused again.
    if (status !== 429 && status !== 503) throw new Error(`${path}: ${status} ${text}`);
    await sleep(wait * 1000);
  }
  throw new Error(`${path}: no answer after ${TRIES} tries`);
}

// A token for an hour; ask for a new one when it has expired, or at a 401.
async function getToken(client) {
  return (await post("/auth/v1/api-key/auth", client, {})).access_token;
}

// Launch the calls. `key` names this request: a new one for each, the same for a repeat.
function callBulk(token, contacts, key) {
  const headers = { Authorization: `Bearer ${token}`, "Idempotency-Key": key };
  const body = { countryCode: "SA", updateExisting: true, contacts };
  return post("/ai/phone-calls/action/call-bulk", body, headers);
}

// --- Being told ----------------------------------------------------------------------------------

// Was `body`, a Buffer as received, signed with `secret`, and just now?
// The names in `headers` are lower-case, as Node's own server has them.
function verify(secret, headers, body, now = Date.now() / 1000) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  const signatures = (headers["webhook-signature"] ?? "").split(" ");
  if (!id || !/^[0-9]{1,12}$/.test(timestamp)) return false;
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  if (!secret.startsWith("whsec_") || key.length < 24) throw new Error("this is no signing secret");
  const hmac = crypto.createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from("v1," + hmac.digest("base64"));
  return signatures.some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

// Listen at the endpoint's address; `tell` hears of each call that a verified webhook tells.
function receive(endpoint, tell) {
  const handled = new Set(); // in a real receiver a table with a unique column, written with the work itself
  const server = http.createServer(async (request, response) => {
    const answer = (status) => response.writeHead(status).end();
    if (request.method !== "POST") return answer(405);
    const chunks = [];
    let size = 0;
    try {
      for await (const chunk of request) {
        size += chunk.length;
        if (size > MAX_BODY_BYTES) return answer(413);
        chunks.push(chunk);
      }
      const body = Buffer.concat(chunks);
      if (!verify(endpoint.secret, request.headers, body)) return answer(401);
      const id = request.headers["webhook-id"];
      if (!handled.has(id)) { // webhooks arrive at least once
        const message = JSON.parse(body);
        tell(message.data ?? message); // the envelope, or the flat form
        handled.add(id);
      }
      return answer(204);
    } catch (error) {
      console.error(error);
      return answer(500);
    }
  });
  server.listen(Number(new URL(endpoint.url).port), "127.0.0.1");
  return server;
}

// --- Both ----------------------------------------------------------------------------------------

async function main(client, endpoint) {
  const told = [];
  const server = receive(endpoint, (call) => told.push(call));
  const token = await getToken(client);
  const key = crypto.randomUUID(); // store it with what you are about to send, before you send it
  const accepted = await callBulk(token, CONTACTS, key);
  console.log("campaign", accepted.campaignId);
  const repeated = await callBulk(token, CONTACTS, key);
  const isSame = JSON.stringify(repeated) === JSON.stringify(accepted);
  console.log(isSame ? "repeated: the same answer" : "REPEATED: ANOTHER ANSWER");

  const waiting = new Set(accepted.calls.map((call) => call.callId));
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  while (waiting.size) {
    if (Date.now() > deadline) throw new Error(`${waiting.size} calls have not ended`);
    await sleep(100);
    for (const call of told.splice(0)) {
      if (!waiting.has(call.callId)) continue;
      const invoice = call.metadata.requestMetadata.invoiceNumber;
      console.log("verified", invoice, call.numberTo, call.attempt, call.callOutput);
      if (call.isLastAttempt) waiting.delete(call.callId);
    }
  }
  server.close();
  server.closeAllConnections?.();
}

const read = (path) => JSON.parse(fs.readFileSync(path, "utf8"));

main(read(process.argv[2]), read(process.argv[3])).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
