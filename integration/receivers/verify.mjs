// Verifies requests with the libraries that receivers use. Reads one JSON object a line:
//
//   {"library": "svix", "secret": "whsec_…", "headers": {"webhook-id": "…"}, "body": "<base64>"}
//
// and answers each with a line {"ok": true, "parsed": …} or {"ok": false, "error": "…"}. Secret is a public key (whpk_…)
// for the library "ed25519". A "clock" in milliseconds since 1970 stands in for the real one.

import { createPublicKey, verify as verifyBytes } from "node:crypto";
import { createInterface } from "node:readline";

import { verify as octokitVerify } from "@octokit/webhooks-methods";
import { HTTP } from "cloudevents";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";

const stripe = new Stripe("sk_test_not_used_for_requests");

// The bytes in front of the 32 of a raw Ed25519 key that make it a SubjectPublicKeyInfo (RFC 8410).
const ed25519Prefix = Buffer.from("302a300506032b6570032100", "hex");

const toleranceSeconds = 300;

const libraries = {
  standardwebhooks: ({ secret, headers, body }) => new StandardWebhook(secret).verify(body.toString(), headers),

  // Svix's own library takes the headers of Standard Webhooks too.
  svix: ({ secret, headers, body }) => new SvixWebhook(secret).verify(body.toString(), headers),

  stripe: ({ secret, headers, body }) => stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret),

  octokit: async ({ secret, headers, body }) => {
    if (!(await octokitVerify(secret, body.toString(), headers["x-hub-signature-256"]))) {
      throw new Error("signature does not match");
    }
    return JSON.parse(body.toString());
  },

  ed25519: ({ secret, headers, body }) => {
    const raw = Buffer.from(secret.replace(/^whpk_/, ""), "base64");
    const key = createPublicKey({ key: Buffer.concat([ed25519Prefix, raw]), format: "der", type: "spki" });
    const timestamp = headers["webhook-timestamp"];
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > toleranceSeconds) {
      throw new Error("timestamp is too far from the clock");
    }
    const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${timestamp}.`), body]);
    const genuine = headers["webhook-signature"]
      .split(" ")
      .filter((signature) => signature.startsWith("v1a,"))
      .some((signature) => verifyBytes(null, signed, key, Buffer.from(signature.slice("v1a,".length), "base64")));
    if (!genuine) {
      throw new Error("signature does not match");
    }
    return JSON.parse(body.toString());
  },

  // Both modes: the library tells them apart by the content type.
  cloudevents: ({ headers, body }) => {
    const event = HTTP.toEvent({ headers, body: body.toString() });
    if (!event.validate()) {
      throw new Error("not a valid CloudEvent");
    }
    return event.toJSON();
  },
};

const realClock = Date.now;

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let answer;
  try {
    const question = JSON.parse(line);
    const verify = libraries[question.library];
    if (!verify) {
      throw new Error(`no library ${question.library}`);
    }
    Date.now = question.clock ? () => question.clock : realClock;
    answer = { ok: true, parsed: await verify({ ...question, body: Buffer.from(question.body, "base64") }) };
  } catch (error) {
    answer = { ok: false, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
