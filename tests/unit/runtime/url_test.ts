/**
 * Tests the parts of a WebSocket URL, and which HTTP proxy is used for it.
 *
 * @module
 */

import {
  hostnameOf,
  isIpAddress,
  portOf,
  proxyVariableFor,
} from "../../../lib/runtime/url.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const URLS: [url: string, host: string, port: number, isAddress: boolean][] = [
  ["ws://h/", "h", 80, false],
  ["wss://h/", "h", 443, false],
  ["ws://h:443/", "h", 443, false],
  ["wss://127.0.0.1:8079/", "127.0.0.1", 8079, true],
  ["ws://[::1]:1/", "::1", 1, true],
  ["ws://1.example/", "1.example", 80, false],
];
for (const [url, host, port, isIp] of URLS) {
  test(`Address: host and port of ${url}`, () => {
    const place = new URL(url);
    assertEquals([hostnameOf(place), portOf(place)], [host, port]);
    assertEquals(isIpAddress(host), isIp);
  });
}

/** A URL, the value of NO_PROXY, and whether the HTTP proxy is used. */
const PROXIED: [url: string, noProxy: string, isProxied: boolean][] = [
  ["ws://h/", "", true],
  ["ws://localhost/", "", false],
  ["ws://127.1.2.3/", "", false],
  ["ws://[::1]/", "", false],
  ["ws://a.example.com/", "example.com", false],
  ["ws://example.com/", "x, .example.com ", false],
  ["ws://badexample.com/", "example.com", true],
  ["ws://example.com/", "a.example.com", true],
  ["ws://h/", "*", false],
  ["ws://10.0.0.1/", "*", true],
  ["ws://10.0.0.1/", "10.0.0.1", false],
];
for (const [url, noProxy, isProxied] of PROXIED) {
  for (const name of ["NO_PROXY", "no_proxy"]) {
    test(`Address: ${url} with ${name}=${noProxy} is dialed ${isProxied ? "through the proxy" : "directly"}`, () => {
      const env: Record<string, string> = { HTTP_PROXY: "p", [name]: noProxy };
      const host = {
        getEnv: (name: string) => env[name],
        proxyVariables: () => ["ALL_PROXY", "HTTP_PROXY"],
      };
      const found = proxyVariableFor(new URL(url), host);
      assertEquals(found, isProxied ? "HTTP_PROXY" : undefined);
    });
  }
}
