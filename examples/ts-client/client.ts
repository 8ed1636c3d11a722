// Sets an endpoint up and sends what it missed once more:
//
//   npm ci && npm run generate && npm run build
//   node dist/client.js setup crm https://crm.example.com/webhooks    # may run twice
//   node dist/client.js resend crm https://crm.example.com/webhooks
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [command, name, url] = process.argv.slice(2);
if (!command || !name || !url) {
  console.error("usage: client setup|resend NAME URL");
  process.exit(2);
}
const api = createClient<paths>({
  baseUrl: process.env.TAILPOST_URL,
  headers: { Authorization: `Bearer ${process.env.TAILPOST_API_KEY}` },
});

// What the API says of a request that it refuses is for people.
function got<T>(result: { data?: T; error?: { title?: string; detail?: string } }): T {
  if (result.data === undefined) {
    throw new Error(`${result.error?.title}: ${result.error?.detail}`);
  }
  return result.data;
}

// Twice it changes nothing.
const put = await api.PUT("/v1/endpoints", {
  params: { query: { name } },
  body: { url, events: ["order.*"], permanent: ["400"] },
});
const endpoint = got(put);
console.log(
  put.response.status === 201
    ? `made ${endpoint.id}; its secret is shown this once: keep it`
    : `${endpoint.id} is as it should be, version ${endpoint.version}`,
);

if (command === "resend") {
  const attempts = got(await api.GET("/v1/endpoints/{id}/attempts", { params: { path: { id: endpoint.id } } }));
  for (const attempt of attempts.data) {
    console.log(`attempt ${attempt.event_id} ${attempt.outcome}`);
  }
  const resent = got(await api.POST("/v1/deliveries/resend", { body: { endpoint_id: endpoint.id, state: "dead" } }));
  console.log("id" in resent ? `resend ${resent.id} queues what was given up` : "what was given up is queued");
}
