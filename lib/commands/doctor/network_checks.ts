/**
 * Checks the path to a daemon's WebSocket: host name, network, handshake, each
 * one by itself, because a runtime says little about why a dial failed.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import type { Check } from "./check.ts";
import type { Config } from "../../config/config.ts";
import type { Host } from "../../runtime/host.ts";
import { hostnameOf, portOf, proxyVariableFor } from "../../runtime/url.ts";
import {
  resolveHostname,
  tryConnect,
  tryHandshake,
} from "../../transport/raw_handshake.ts";

/**
 * Makes the checks from the host name to the WebSocket; stops after the first
 * failure.
 */
export async function* networkChecks(
  config: Config,
  host: Host,
): AsyncGenerator<Check> {
  const url = new URL(config.url);
  const proxyVariable = proxyVariableFor(url, host);
  if (proxyVariable !== undefined) {
    const name = hostnameOf(url);
    const text =
      `${name} is dialed through the proxy that ${proxyVariable} names`;
    const advice = `if the proxy is not to be asked, add ${name} to NO_PROXY`;
    yield { name: "proxy", state: "warn", text, advice };
  }
  for await (const check of directChecks(config, url, host)) {
    // A host that is unreachable from here may be reachable from the proxy.
    const isHarmless = proxyVariable !== undefined && check.state === "fail";
    yield isHarmless ? { ...check, state: "warn" } : check;
  }
}

/** Makes the checks without a proxy; stops after the first failure. */
async function* directChecks(
  config: Config,
  url: URL,
  host: Host,
): AsyncGenerator<Check> {
  const name = hostnameOf(url);
  const limitMs = config.handshakeTimeout;
  const addresses = (await resolveHostname(name)).join(", ");
  if (addresses === "") {
    const text = `${name} is no host that this machine knows`;
    const advice = "check the URL's host; inside Docker, the host machine is " +
      "host.docker.internal";
    return yield { name: "name", state: "fail", text, advice };
  }
  const known = addresses === name ? "an address" : addresses;
  yield { name: "name", state: "ok", text: `${name} is ${known}` };
  const target = `${name} port ${portOf(url)}`;
  const reached = await tryConnect(name, portOf(url), limitMs);
  if (typeof reached === "string") {
    const text = `${target} takes no connection (${reached})`;
    const advice =
      "start the daemon; in Docker, publish its port (-p 8079:8079)";
    return yield { name: "network", state: "fail", text, advice };
  }
  const text = `${target} takes connections (${reached.toFixed(1)} ms)`;
  yield { name: "network", state: "ok", text };
  yield await handshakeCheck(config, url, limitMs, host);
}

/** Checks that the server makes a WebSocket handshake. */
async function handshakeCheck(
  { dialect, headers }: Config,
  url: URL,
  limitMs: number,
  host: Host,
): Promise<Check> {
  const subprotocol = dialect === "mcp" ? "mcp" : undefined;
  const found = await tryHandshake(url, subprotocol, headers, limitMs, host);
  if (found.kind === "not-http") {
    const advice = url.protocol === "wss:"
      ? "check the port"
      : "check the port, and try wss://";
    return failedHandshakeCheck("it does not speak HTTP", advice);
  }
  if (found.kind === "failed") {
    const { reason, advice = "check the port: something else listens there" } =
      found;
    return failedHandshakeCheck(`the handshake failed: ${reason}`, advice);
  }
  const { status } = found;
  const type = found.headers.get("content-type") ?? "";
  if (status === 101) {
    const acceptedSubprotocol = found.headers.get("sec-websocket-protocol");
    const subprotocolText = acceptedSubprotocol === undefined
      ? ""
      : `, subprotocol ${sanitizeLine(acceptedSubprotocol)}`;
    const text = `it is a WebSocket${subprotocolText}`;
    return { name: "websocket", state: "ok", text };
  }
  if (status === 401 || status === 403) {
    return failedHandshakeCheck(
      `it refuses us with HTTP ${status}`,
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header",
    );
  }
  if (status === 404) {
    const text = `there is nothing at ${url.pathname} (HTTP 404)`;
    return failedHandshakeCheck(text, "check the URL's path");
  }
  if (status >= 300 && status < 400) {
    return redirectCheck(status, found.headers.get("location") ?? "", url);
  }
  const text = `it answers with HTTP ${status}`;
  if (status >= 500) {
    return failedHandshakeCheck(
      text,
      "look at the daemon's own log; a front may wait for it",
    );
  }
  if (status >= 400 && !/^(405|406|426)$/.test(`${status}`)) {
    return failedHandshakeCheck(
      text,
      "check the URL's path, and what stands in front of the daemon",
    );
  }
  return failedHandshakeCheck(
    `this is an HTTP${/event-stream/.test(type) ? "/SSE" : ""} server, not a ` +
      `WebSocket (HTTP ${status})`,
    "give the URL of its WebSocket; without one, connect the client to it " +
      "by HTTP, which needs no alwaysup",
  );
}

/** Describes a redirect; a WebSocket does not follow it. */
function redirectCheck(status: number, location: string, from: URL): Check {
  const to = URL.canParse(location, from.href)
    ? new URL(location, from)
    : undefined;
  const [, tlsSuffix] = /^(?:http|ws)(s?):$/.exec(to?.protocol ?? "") ?? [];
  if (to === undefined || tlsSuffix === undefined) {
    const text = `it sends us away (HTTP ${status})`;
    return failedHandshakeCheck(
      text,
      "check the URL, and what stands in front of the daemon",
    );
  }
  // Without the query, which may contain a secret.
  const target = to.host + to.pathname;
  return failedHandshakeCheck(
    `it sends us to ${to.protocol}//${target} (HTTP ${status})`,
    `use ws${tlsSuffix}://${target}`,
  );
}

/**
 * Returns the check of a failed handshake. The text may come from a
 * certificate, so it is sanitized.
 */
function failedHandshakeCheck(text: string, advice: string): Check {
  return { name: "websocket", state: "fail", text: sanitizeLine(text), advice };
}
