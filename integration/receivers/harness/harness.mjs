
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { scheme, secret, headers, body } = JSON.parse(line);
  let genuine = true;
  try {
    await verifiers[scheme](secret, headers, Buffer.from(body, "base64"));
  } catch {
    genuine = false;
  }
  console.log(genuine);
}
