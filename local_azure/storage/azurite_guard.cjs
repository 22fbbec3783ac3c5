// Runs Azurite with the port guard in its process: node azurite_guard.cjs ORIGINS AZURITE [ARGUMENT...]
//
// ORIGINS are the pages that may send requests, separated by commas; AZURITE is its main script. Every HTTP server of
// the process is guarded, so that no port of Azurite bypasses the guard. The rules and their reasons are in
// local_azure/port_guard.py; tests/unit/local_azure/port_guard_cases.json tests both with the same cases.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");

const LOOPBACK = /^(localhost\.?|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?$/i;

/** Return why a request is refused, or null if it is allowed. `rawHeaders` alternates names and values, as in Node. */
function refusal(method, rawHeaders, pages) {
  const found = { host: [], origin: [], "sec-fetch-site": [], "sec-fetch-mode": [], "sec-fetch-dest": [] };
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index].toLowerCase();
    if (Object.hasOwn(found, name)) found[name].push(rawHeaders[index + 1].trim());
  }
  const { host, origin, "sec-fetch-site": site } = found;
  if (host.length !== 1 || !LOOPBACK.test(host[0])) {
    return (
      `The request is for the host ${quoteValues(host)}. Only this machine's own names are served: ` +
      "use 127.0.0.1 or localhost in the address."
    );
  }
  if (origin.length > 0) {
    if (origin.length === 1 && pages.includes(origin[0])) return null;
    return `A page of ${quoteValues(origin)} sent this. Only pages of the local stack may call this port.`;
  }
  if (site.length === 0 || (site.length === 1 && ["none", "same-origin"].includes(site[0]))) return null;
  const isNavigation = found["sec-fetch-mode"].join() === "navigate" && found["sec-fetch-dest"].join() === "document";
  if (method === "GET" && isNavigation) return null;
  return `A page of another site sent this (Sec-Fetch-Site: ${quoteValues(site)}). Only a link to a page may lead here.`;
}

function quoteValues(values) {
  return values.slice(0, 3).map((value) => JSON.stringify(value.slice(0, 100))).join(", ") || "(none)";
}

/** Guard every HTTP server that this process creates. */
function guard(pages) {
  for (const { Server } of [http, https]) {
    const emit = Server.prototype.emit;
    Server.prototype.emit = function (event, ...values) {
      if (event === "request" || event === "checkContinue" || event === "checkExpectation") {
        const [request, response] = values;
        const reason = refusal(request.method, request.rawHeaders, pages);
        if (reason !== null) {
          // The body stays unread, so the connection cannot be reused.
          response.writeHead(403, { "Content-Type": "text/plain; charset=utf-8", Connection: "close" });
          response.end(`${reason}\n`);
          return true;
        }
      } else if (event === "upgrade" || event === "connect") {
        values[1].destroy(); // nothing here uses another protocol or proxies to a host
        return true;
      }
      return emit.call(this, event, ...values);
    };
  }
}

if (require.main === module) {
  const [node, , origins, program, ...rest] = process.argv;
  guard(origins.split(",").filter(Boolean));
  process.argv = [node, program, ...rest]; // Azurite reads its options from it
  require(fs.realpathSync(program));
}

module.exports = { guard, refusal };
