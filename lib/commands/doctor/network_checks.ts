/**
 * Checks each step to the daemon's WebSocket: host name, network, handshake.
 * The checks are separate because a runtime reports little about a failed dial.
 *
 * @module
 */

import { sanitizeLine } from "../../text/sanitize.ts";
import { type CheckResult, START_ADVICE } from "./check.ts";
import type { Config } from "../../config/config.ts";
import type { OpeningResult } from "./in_process_client.ts";
import type { Host } from "../../runtime/host.ts";
import { hostnameOf, portOf, proxyVariableFor } from "../../runtime/url.ts";
import { fetchHandshake } from "../../transport/handshake_diagnosis.ts";
import { resolveHostname, tryConnect } from "../../transport/reachability.ts";

/** Yields the checks of the host name and the port. Stops after a failure. */
export async function* networkChecks(
  config: Config,
  host: Host,
): AsyncGenerator<CheckResult> {
  const url = new URL(config.url);
  const name = hostnameOf(url);
  const proxyVariable = proxyVariableFor(url, host);
  if (proxyVariable !== undefined) {
    const text =
      `connections to ${name} go through the HTTP proxy that ${proxyVariable} names`;
    const advice = `to connect without the HTTP proxy, add ${name} to NO_PROXY`;
    yield { name: "proxy", state: "warn", text, advice };
  }
  // A host that is unreachable from here may be reachable for the HTTP proxy.
  const failed = proxyVariable === undefined ? "fail" : "warn";
  const addresses = (await resolveHostname(name)).join(", ");
  if (addresses === "") {
    const text = `this machine cannot resolve the host name ${name}`;
    const advice = "check the URL's host; inside Docker, the host machine is " +
      "host.docker.internal";
    return yield { name: "name", state: failed, text, advice };
  }
  const known = addresses === name ? "an address" : addresses;
  yield { name: "name", state: "ok", text: `${name} is ${known}` };
  const port = portOf(url);
  const target = `${name} port ${port}`;
  const reached = await tryConnect(name, port, config.handshakeTimeout);
  if (typeof reached === "string") {
    const text = `${target} accepts no connection (${reached})`;
    return yield { name: "network", state: failed, text, advice: START_ADVICE };
  }
  const text = `${target} accepts connections (${reached.toFixed(1)} ms)`;
  yield { name: "network", state: "ok", text };
}

/**
 * Returns the check of the handshake. If the handshake was refused, may repeat
 * it to find the reason.
 */
export async function websocketCheck(
  config: Config,
  opening: OpeningResult,
  host: Host,
): Promise<CheckResult> {
  const name = "websocket";
  if (opening.type === "open") {
    const { subprotocol = "" } = opening;
    const detail = subprotocol && `, subprotocol ${sanitizeLine(subprotocol)}`;
    return { name, state: "ok", text: `it is a WebSocket${detail}` };
  }
  const { status, reason, dialFailure, mayHaveNoListener } = opening;
  const tlsHint = config.url.startsWith("wss:") ? "" : ", or try wss://";
  const otherAdvice = mayHaveNoListener
    ? START_ADVICE
    : `check the port: something else listens there${tlsHint}`;
  const [text, advice] = status === undefined
    ? [
      `the handshake failed: ${dialFailure?.summary ?? reason}`,
      dialFailure?.advice ?? otherAdvice,
    ]
    : await refusalFinding(status, config, host);
  // The text may quote a certificate, which is untrusted.
  return { name, state: "fail", text: sanitizeLine(text), advice };
}

/** A finding, and the advice for it. */
type Finding = readonly [text: string, advice: string];

async function refusalFinding(
  status: number,
  config: Config,
  host: Host,
): Promise<Finding> {
  const url = new URL(config.url);
  if (status === 401 || status === 403) {
    return [
      `the server refused the handshake with HTTP ${status}`,
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header",
    ];
  }
  if (status === 404) {
    const text = `there is nothing at ${url.pathname} (HTTP 404)`;
    return [text, "check the URL's path"];
  }
  if (status >= 400 && !/^(405|406|426)$/.test(`${status}`)) {
    const advice = status >= 500
      ? "look at the daemon's own log; a reverse proxy may not reach the daemon"
      : "check the URL's path, and any reverse proxy in front of the daemon";
    return [`it answers with HTTP ${status}`, advice];
  }
  const subprotocol = config.dialect === "mcp" ? "mcp" : undefined;
  const timeoutMs = config.handshakeTimeout;
  // This handshake may fail, although the first one got a response.
  const headers = await fetchHandshake(config, host, subprotocol, timeoutMs)
    .then(({ response }) => response.headers, () => new Headers());
  if (status >= 300 && status < 400) {
    return redirectFinding(status, headers.get("location") ?? "", url);
  }
  const type = headers.get("content-type") ?? "";
  return [
    `this is an HTTP${/event-stream/.test(type) ? "/SSE" : ""} server, not a ` +
    `WebSocket (HTTP ${status})`,
    "give the URL of its WebSocket; if it has none, connect the client to it " +
    "by HTTP, which needs no alwaysup",
  ];
}

/** Describes a redirect, which a WebSocket does not follow. */
function redirectFinding(status: number, location: string, from: URL): Finding {
  const to = URL.canParse(location, from.href) && new URL(location, from);
  const [, tlsSuffix] = /^(?:http|ws)(s?):$/.exec(to ? to.protocol : "") ?? [];
  if (!to || tlsSuffix === undefined) {
    const advice =
      "check the URL, and any reverse proxy in front of the daemon";
    return [
      `it redirects, but not to an HTTP or WebSocket URL (HTTP ${status})`,
      advice,
    ];
  }
  // The query is omitted, because it may contain a secret.
  const target = to.host + to.pathname;
  return [
    `it redirects to ${to.protocol}//${target} (HTTP ${status})`,
    `use ws${tlsSuffix}://${target}`,
  ];
}
