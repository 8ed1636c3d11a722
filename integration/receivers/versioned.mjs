// A receiver of pinned versions. It answers 204 to what is signed, names its version, and fits that
// version's schema, and 400 with the reason to everything else.
//
// It reads one line {"secrets": {"/path": "whsec_…"}} and prints its port. `PUT /catalogue` with
// {"url": …, "newest": …} has it fetch an event type, with its schemas, from Tailpost's API. `GET
// /taken` lists the events that it took: {"path", "version", "packed", "batch", "names": of the
// data, "fits": the versions whose schema takes it}.

import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

import { Ajv } from "ajv";
import { Webhook } from "standardwebhooks";

const toleranceSeconds = 300;

// The library turns what it verifies into text, which compressed bytes are not.
function verifyPacked(secret, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceSeconds)) {
    throw new Error("timestamp is too far from the clock");
  }
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const want = Buffer.from(`v1,${createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64")}`);
  if (!signatures.split(" ").some((s) => s.length === want.length && timingSafeEqual(Buffer.from(s), want))) {
    throw new Error("signature does not match");
  }
  return JSON.parse(gunzipSync(body).toString());
}

let validators = {}; // by version
const taken = [];

async function readCatalogue({ url, newest }) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`the catalogue answers ${response.status}`);
  }
  const type = await response.json();
  const ajv = new Ajv();
  validators = { [newest]: ajv.compile(type.schema) };
  for (const { version, schema } of type.versions) {
    validators[version] = ajv.compile(schema);
  }
}

function take(path, headers, body) {
  const secret = secrets[path];
  const packed = headers["content-encoding"] === "gzip";
  const content = packed ? verifyPacked(secret, headers, body) : new Webhook(secret).verify(body.toString(), headers);
  const validate = validators[headers["webhook-version"]];
  if (!validate) {
    throw new Error(`no schema for version ${headers["webhook-version"]}`);
  }
  const events = [content].flat();
  for (const { data } of events) {
    if (!validate(data)) {
      throw new Error(`not of ${headers["webhook-version"]}: ${JSON.stringify(validate.errors)}`);
    }
  }
  for (const { data } of events) {
    const fits = Object.keys(validators).filter((version) => validators[version](data));
    taken.push({ path, version: headers["webhook-version"], packed, batch: Array.isArray(content), names: Object.keys(data).sort().join(" "), fits });
  }
}

const [line] = await once(createInterface({ input: process.stdin }), "line");
const { secrets } = JSON.parse(line);

const server = createServer(async (request, response) => {
  try {
    const body = await buffer(request);
    if (request.url === "/taken") {
      response.end(JSON.stringify(taken));
      return;
    }
    if (request.url === "/catalogue") {
      await readCatalogue(JSON.parse(body.toString()));
    } else {
      take(request.url, request.headers, body);
    }
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(400).end(String(error?.message ?? error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => {
  server.close();
  server.closeAllConnections();
});
