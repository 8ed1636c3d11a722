// Receives webhooks at http://127.0.0.1:$PORT/webhooks and verifies them with the public Standard Webhooks library.

import { createServer } from "node:http";

import { Webhook } from "standardwebhooks";

const maxBody = 1 << 20;

if (!process.env.WEBHOOK_SECRET) {
  console.error("node-receiver: WEBHOOK_SECRET is not set");
  process.exit(1);
}
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

// Delivery is at least once: the id tells what was here before. A real receiver keeps it in its database, in the
// transaction that does the work.
const seen = new Set();

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > maxBody) {
      throw new Error("body too large");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function receive(request) {
  if (request.method !== "POST" || request.url !== "/webhooks") {
    return 404;
  }
  // The signature is about these very bytes, so they are read before anything else looks at them.
  const body = (await read(request)).toString();
  let event;
  try {
    event = webhook.verify(body, request.headers);
  } catch {
    return 401;
  }
  if (!seen.has(event.id)) {
    seen.add(event.id);
    console.log(`${event.type} ${event.id} ${JSON.stringify(event.data)}`);
  }
  return 204;
}

const server = createServer((request, response) => {
  receive(request)
    .catch(() => 400)
    .then((status) => response.writeHead(status).end());
});
server.listen(Number(process.env.PORT ?? 4002), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
