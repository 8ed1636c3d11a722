"use strict";

// make builds an element; text is never taken for markup.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

const refName = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");

// typeOf says in a few words what a schema asks for.
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return make("a", { href: "#schema-" + refName(schema) }, refName(schema));
  const types = [].concat(schema.type || []).filter((t) => t !== "null");
  let text = types.join(" or ") || "any value";
  if (types.includes("array") && schema.items) {
    const span = make("span", {}, "list of ");
    span.append(typeOf(schema.items));
    return span;
  }
  if (schema.enum) text = schema.enum.map((v) => JSON.stringify(v)).join(", ");
  else if (schema.format) text += " (" + schema.format + ")";
  if (schema.default !== undefined) text += ", default " + JSON.stringify(schema.default);
  if (schema.minimum !== undefined || schema.maximum !== undefined)
    text += ", " + (schema.minimum ?? "…") + " to " + (schema.maximum ?? "…");
  return text;
}

function row(name, required, schema, description) {
  const cell = make("td", {}, make("code", required ? { class: "required" } : {}, name));
  const about = make("td", {}, description || (schema && schema.description) || "");
  const example = schema && schema.examples && schema.examples[0];
  if (example !== undefined) about.append(" ", make("span", { class: "faint" }, "For example "), make("code", {}, JSON.stringify(example)));
  return make("tr", {}, cell, make("td", {}, typeOf(schema)), about);
}

function table(rows) {
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, "Name"), make("th", {}, "Type"), make("th", {}, "Meaning"))), make("tbody", {}, ...rows));
}

function fields(schema) {
  const required = new Set(schema.required || []);
  return table(Object.entries(schema.properties || {}).map(([name, s]) => row(name, required.has(name), s)));
}

function operation(path, method, op, doc) {
  const section = make("section", { id: op.operationId });
  section.append(make("h3", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path)));
  section.append(make("p", {}, make("strong", {}, op.summary || ""), op.description ? " " + op.description : ""));
  const parameters = op.parameters || [];
  if (parameters.length) {
    section.append(make("h4", {}, "Parameters"));
    section.append(table(parameters.map((p) => row(p.name + (p.in === "header" ? " (header)" : ""), p.required, p.schema, p.description))));
  }
  const body = op.requestBody && op.requestBody.content && op.requestBody.content["application/json"];
  if (body) {
    section.append(make("h4", {}, "Body"));
    const schema = body.schema.$ref ? doc.components.schemas[refName(body.schema)] : body.schema;
    section.append(fields(schema));
  }
  section.append(make("h4", {}, "Answers"));
  const answers = Object.entries(op.responses || {}).map(([status, answer]) => {
    const content = Object.values(answer.content || {})[0];
    return make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, content ? typeOf(content.schema) : ""), make("td", {}, answer.description || ""));
  });
  section.append(make("table", {}, make("tbody", {}, ...answers)));
  let call = "curl " + (method === "get" ? "" : "-X " + method.toUpperCase() + " ");
  if (op.security) call += "-H \"Authorization: Bearer $TAILPOST_API_KEY\" ";
  if (body) call += "-H 'Content-Type: application/json' -d '{ … }' ";
  section.append(make("pre", {}, call + location.origin + path));
  return section;
}

async function show() {
  const answer = await fetch("/openapi.json");
  const doc = await answer.json();
  document.getElementById("title").textContent = doc.info.title + " API " + doc.info.version;
  document.getElementById("about").textContent = doc.info.description || "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(doc.paths))
    for (const [method, op] of Object.entries(methods)) {
      const tag = (op.tags || ["Other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, op]);
    }
  const index = document.getElementById("index");
  const list = document.getElementById("operations");
  for (const [tag, operations] of groups) {
    index.append(make("h2", {}, tag));
    list.append(make("h2", {}, tag));
    for (const [path, method, op] of operations) {
      index.append(make("a", { href: "#" + op.operationId }, op.summary || path));
      list.append(operation(path, method, op, doc));
    }
  }
  const schemas = document.getElementById("schemas");
  schemas.append(make("h2", {}, "Objects"));
  for (const [name, schema] of Object.entries(doc.components.schemas).sort())
    schemas.append(make("section", { id: "schema-" + name }, make("h3", {}, name), fields(schema)));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

show().catch((err) => { document.getElementById("about").textContent = "The document could not be shown: " + err.message; });
