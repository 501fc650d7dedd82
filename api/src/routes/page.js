"use strict";
const VERBS = ["get", "post", "put", "patch", "delete"];
const GROUPS = ["records", "collections", "streams", "tokens", "control", "node"];
// What every reply has is said once, at the top.
const COMMON = ["X-Request-Id", "traceparent", "Server-Timing"];
const byId = (id) => document.getElementById(id);
let api = {};

// An element with properties and children; texts in `backticks` become code.
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties ?? {});
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}
function prose(text) {
  return String(text ?? "").split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}
function follow(one) {
  if (!one?.$ref) return one ?? {};
  return one.$ref.split("/").slice(1).reduce((inside, part) => inside?.[part], api) ?? {};
}
const nameOf = (schema) => schema?.$ref?.split("/").pop();
// What a nullable or tagged schema is, apart from null.
const choices = (schema) => (schema.oneOf ?? schema.anyOf ?? []).filter((one) => one.type !== "null");

// A schema's type, with links to schemas that have a name.
function typeOf(schema) {
  if (!schema) return [];
  const name = nameOf(schema);
  if (name) return [make("a", { href: `#schema-${name}` }, name)];
  const several = choices(schema);
  if (several.length) return several.flatMap((one, at) => (at ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.allOf) return schema.allOf.flatMap((one, at) => (at ? [" and ", ...typeOf(one)] : typeOf(one)));
  const types = [schema.type ?? "any"].flat().filter((type) => type !== "null");
  if (types[0] === "array") return ["array of ", ...typeOf(schema.items)];
  if (types[0] === "object" && schema.additionalProperties?.$ref) return ["map of ", ...typeOf(schema.additionalProperties)];
  return [[types.join(" or "), schema.format && `(${schema.format})`].filter(Boolean).join(" ")];
}
function bounds(schema) {
  const said = [];
  const add = (what, value) => value !== undefined && said.push(`${what} ${value}`);
  if (schema.enum) said.push(`one of ${schema.enum.map((one) => `\`${one}\``).join(", ")}`);
  if (schema.default !== undefined && typeof schema.default !== "object") said.push(`default \`${schema.default}\``);
  add("at least", schema.minimum);
  add("at most", schema.maximum);
  add("at most characters:", schema.maxLength);
  if (schema.pattern) said.push(`matches \`${schema.pattern}\``);
  const text = said.join("; ");
  return text ? ` ${text[0].toUpperCase()}${text.slice(1)}.` : "";
}
function table(heads, lines) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const rows = lines.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, ...[cell].flat()))));
  return make("div", { className: "table" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

// A schema's members, those of its parts included.
function members(schema, depth = 0) {
  const whole = follow(schema);
  if (depth > 4) return [];
  const own = Object.entries(whole.properties ?? {}).map(([name, one]) => [name, one, (whole.required ?? []).includes(name)]);
  return [...(whole.allOf ?? []).flatMap((one) => members(one, depth + 1)), ...own];
}
function memberTable(schema) {
  const lines = members(schema).map(([name, one, required]) => [
    make("code", {}, name),
    [...typeOf(one), required ? make("div", { className: "quiet" }, "required") : ""].filter(Boolean),
    prose((one.description ?? follow(one).description ?? choices(one)[0]?.description ?? "") + bounds(one)),
  ]);
  return lines.length ? table(["Member", "Type", "Meaning"], lines) : null;
}

// A schema as an example of what it describes; members that may be left out are left out below the first level.
function example(schema, depth = 0) {
  const one = follow(schema);
  if (depth > 4) return undefined;
  if (one.example !== undefined) return one.example;
  if (one.allOf) return Object.assign({}, ...one.allOf.map((part) => example(part, depth + 1)));
  const several = choices(one);
  if (several.length) return example(several[0], depth + 1);
  if (one.enum) return one.enum[0];
  const type = [one.type].flat().find((type) => type !== "null");
  if (type === "object" || one.properties) {
    const kept = members(one).filter(([, , required]) => required || depth === 0);
    const named = one.additionalProperties?.$ref ? { name: example(one.additionalProperties, depth + 1) } : {};
    return Object.assign(named, Object.fromEntries(kept.map(([name, inner]) => [name, example(inner, depth + 1)]).filter(([, value]) => value !== undefined)));
  }
  if (type === "array") return [example(one.items, depth + 1)].filter((value) => value !== undefined);
  const texts = { uuid: "0198c0de-0000-7000-8000-000000000001", "date-time": "2026-01-31T12:00:00Z" };
  return { string: texts[one.format] ?? "text", integer: 1, number: 1.5, boolean: true }[type];
}
function code(text) {
  const pre = make("pre", { tabIndex: 0 }, text);
  return copied(pre);
}
function copied(pre) {
  if (!navigator.clipboard) return pre;
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(pre.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  const box = make("div", { className: "copied" });
  pre.replaceWith(box);
  box.append(pre, button);
  return box;
}

function bodies(content) {
  return Object.entries(content ?? {}).flatMap(([media, one]) => {
    const shown = example(one.schema);
    const text = typeof shown === "object" ? code(JSON.stringify(shown, null, 2)) : null;
    return [make("p", {}, make("code", {}, media), ...(one.schema ? [" ", ...typeOf(one.schema)] : [])), memberTable(one.schema), text];
  });
}
function curl(path, verb, operation) {
  const inside = path.replace("/v1/tenants/{tenant}", "$URL");
  const url = inside === path ? location.origin + path : inside;
  const parts = [verb === "get" ? "curl" : `curl -X ${verb.toUpperCase()}`];
  if ((operation.security ?? []).length) parts.push('-H "Authorization: Bearer $TOKEN"');
  const [media, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (media) parts.push(`-H 'Content-Type: ${media}'`);
  const shown = body && example(body.schema);
  if (typeof shown === "object") parts.push(`-d '${JSON.stringify(shown)}'`);
  else if (media) parts.push("--data-binary @FILE");
  return `${parts.join(" ")} "${url}"`;
}
function call({ path, verb, operation, shared }) {
  const inside = make("div");
  inside.append(make("p", {}, ...prose(operation.description)), code(curl(path, verb, operation)));
  const parameters = [...shared, ...(operation.parameters ?? [])].map(follow);
  if (parameters.length) {
    inside.append(make("h3", {}, "Parameters"), table(["Name", "Where and what", "Meaning"], parameters.map((one) => [
      make("code", {}, one.name),
      [`${one.in}, `, ...typeOf(one.schema), one.required ? make("div", { className: "quiet" }, "required") : ""].filter(Boolean),
      prose((one.description ?? "") + bounds(one.schema ?? {})),
    ])));
  }
  if (operation.requestBody) inside.append(make("h3", {}, "Body"), ...bodies(operation.requestBody.content).filter(Boolean));
  const replies = Object.entries(operation.responses ?? {}).map(([status, reply]) => [status, follow(reply)]);
  inside.append(make("h3", {}, "Replies"), table(["Status", "Body", "Headers", "Meaning"], replies.map(([status, one]) => [
    make("code", {}, status),
    Object.entries(one.content ?? {}).flatMap(([media, body], at) => [at ? make("br") : "", make("code", {}, media), " ", ...typeOf(body.schema)]).filter(Boolean),
    Object.keys(one.headers ?? {}).filter((name) => !COMMON.includes(name)).flatMap((name, at) => [at ? make("br") : "", name]).filter(Boolean),
    prose(one.description),
  ])));
  const head = [make("span", { className: `verb ${verb}` }, verb), make("code", {}, path), make("span", { className: "quiet" }, operation.summary ?? "")];
  return make("details", { className: "call", id: operation.operationId }, make("summary", {}, ...head), inside);
}
function schema([name, one]) {
  const values = one.enum ? make("p", {}, ...prose(bounds(one))) : null;
  const several = choices(one).length ? make("p", {}, "One of: ", ...typeOf({ oneOf: choices(one) })) : null;
  const inside = make("div", {}, make("p", {}, ...prose(one.description)), memberTable(one), values, several);
  return make("details", { className: "call", id: `schema-${name}` }, make("summary", {}, make("code", {}, name)), inside);
}

// What a call is found by: everything that its page says.
const wordsOf = (one) => `${one.verb} ${one.path} ${one.article.textContent}`.toLowerCase();
function reveal() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName !== "DETAILS") return;
  target.hidden = false;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}
function search(groups) {
  const wanted = byId("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { heading, links, calls } of groups) {
    let any = false;
    for (const one of calls) {
      const hit = wanted.every((word) => one.words.includes(word));
      one.article.hidden = one.link.hidden = !hit;
      any ||= hit;
      count += hit;
    }
    heading.hidden = links.hidden = !any;
  }
  byId("found").textContent = wanted.length ? `${count} found` : "";
}
async function start() {
  api = await (await fetch("/openapi.json")).json();
  const known = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const verb of VERBS.filter((verb) => item[verb])) {
      const group = item[verb].tags?.[0] ?? "other";
      known.set(group, [...(known.get(group) ?? []), { path, verb, operation: item[verb], shared: item.parameters ?? [] }]);
    }
  }
  const rank = (name) => (GROUPS.indexOf(name) + 1 || GROUPS.length + 1);
  const groups = [...known].sort(([a], [b]) => rank(a) - rank(b)).map(([name, calls]) => ({ name, calls }));
  for (const group of groups) {
    for (const one of group.calls) {
      one.article = call(one);
      one.words = wordsOf(one);
      const text = make("span", { title: `${one.verb.toUpperCase()} ${one.path}` }, one.operation.summary ?? one.path);
      one.link = make("a", { href: `#${one.operation.operationId}` }, make("span", { className: `verb ${one.verb}` }, one.verb), text);
    }
  }
  const schemas = Object.entries(api.components?.schemas ?? {}).map(schema);
  groups.push({ name: "schemas", calls: schemas.map((article) => ({
    article, words: article.textContent.toLowerCase(), link: make("a", { href: `#${article.id}` }, article.id.slice(7)),
  })) });
  byId("state").remove();
  for (const group of groups) {
    group.heading = make("h2", {}, group.name);
    group.links = make("div", {}, make("b", {}, group.name), ...group.calls.map((one) => one.link));
    byId("calls").append(group.heading, ...group.calls.map((one) => one.article));
    byId("list").append(group.links);
  }
  byId("find").addEventListener("input", () => search(groups));
  byId("find").addEventListener("keydown", (event) => {
    if (event.key === "Escape") (byId("find").value = ""), search(groups);
    if (event.key === "Enter") groups.flatMap((group) => group.calls).find((one) => !one.link.hidden)?.link.click();
  });
  byId("all").addEventListener("click", () => {
    const open = byId("all").getAttribute("aria-pressed") !== "true";
    byId("all").setAttribute("aria-pressed", open);
    byId("all").textContent = open ? "Close all" : "Open all";
    document.querySelectorAll("details.call").forEach((one) => (one.open = open));
  });
  addEventListener("hashchange", reveal);
  // A link to the place that the address names already is no change of it.
  byId("list").addEventListener("click", () => setTimeout(reveal));
  document.body.dataset.calls = groups.slice(0, -1).reduce((sum, group) => sum + group.calls.length, 0);
  reveal();
}
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) event.preventDefault(), byId("find").focus();
});
byId("first").textContent = byId("first").textContent.replace("http://127.0.0.1:7400", location.origin);
document.querySelectorAll(".start pre").forEach((pre) => { pre.tabIndex = 0; copied(pre); });
if (matchMedia("(max-width: 56rem)").matches) byId("contents").open = false;
start().catch((error) => { byId("state").textContent = `The reference could not be read: ${error}`; });
