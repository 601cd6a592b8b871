/**
 * Tests `wss://` with a private certificate authority: which certificates are
 * trusted, how an invalid one is reported, and that a peer with an invalid one
 * receives no data.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import {
  createAuthority,
  createSelfSigned,
  type IssuedCertificate,
} from "../helpers/certificates.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { freePort, ProxyProcess, runToExit } from "../helpers/process.ts";

const HOSTS = ["127.0.0.1", "localhost"];
const trustedAuthority = await createAuthority("Ours");
const unknownAuthority = await createAuthority("Another's");
const goodCertificate = await trustedAuthority.issue({
  name: "good",
  hosts: HOSTS,
});
const OTHER_HOSTS = ["a.example", "b.example", "10.1.2.3"];

/** A temporary file, which exists for the duration of a test. */
class TempFile implements AsyncDisposable {
  readonly path: string;

  constructor(text: string) {
    this.path = Deno.makeTempFileSync({ prefix: "ca-", suffix: ".pem" });
    Deno.writeTextFileSync(this.path, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path);
  }
}

/**
 * A TLS server that supports only HTTP/1.1, as most do, and records everything
 * that it receives.
 */
class Listener implements AsyncDisposable {
  readonly #listener: Deno.TlsListener;
  readonly #served: Promise<void>;
  readonly #answer: string | undefined;
  readonly #open = new Set<Deno.TlsConn>();
  readonly #ended: Promise<void>[] = [];
  dials = 0;
  received = "";

  constructor(
    issued: IssuedCertificate,
    port = 0,
    answer: string | undefined = undefined,
  ) {
    this.#answer = answer;
    const alpnProtocols = ["http/1.1"];
    const hostname = "127.0.0.1";
    const options = { ...issued, port, hostname, alpnProtocols };
    this.#listener = Deno.listenTls(options);
    this.#served = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.dials++;
      this.#ended.push(this.#read(connection));
    }
  }

  async #read(connection: Deno.TlsConn): Promise<void> {
    this.#open.add(connection);
    const buffer = new Uint8Array(16_384);
    try {
      for (;;) {
        const size = await connection.read(buffer);
        if (size === null) break;
        this.received += new TextDecoder().decode(buffer.subarray(0, size));
        if (this.#answer === undefined) continue;
        await connection.write(new TextEncoder().encode(this.#answer));
        break;
      }
    } catch {
      // The client has rejected the certificate.
    }
    connection[Symbol.dispose]();
    this.#open.delete(connection);
  }

  /** Waits until all clients have disconnected and their data is read. */
  async waitUntilDrained(): Promise<void> {
    await withWaitLimit(Promise.all(this.#ended), "the connections to end");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) connection[Symbol.dispose]();
    await this.#served;
  }
}

/**
 * An invalid certificate, the URL's host, the reported problem and the advice.
 */
const FAULTS: readonly (readonly [
  certificate: IssuedCertificate,
  host: string,
  what: string,
  advice: string,
])[] = [
  [
    await trustedAuthority.issue({
      name: "old",
      hosts: HOSTS,
      validFromDays: -9,
      validUntilDays: -1,
    }),
    "127.0.0.1",
    "its certificate has expired",
    "renew it, or check this machine's clock",
  ],
  [
    await trustedAuthority.issue({
      name: "new",
      hosts: HOSTS,
      validFromDays: 1,
      validUntilDays: 9,
    }),
    "127.0.0.1",
    "its certificate is not valid yet",
    "check this machine's clock, or issue a certificate that is valid now",
  ],
  [
    await trustedAuthority.issue({ name: "elsewhere", hosts: OTHER_HOSTS }),
    "localhost",
    `its certificate is for another name (${OTHER_HOSTS.join(", ")})`,
    "use one of the certificate's names in the URL, or issue a certificate for the URL's host",
  ],
  [
    await unknownAuthority.issue({ name: "others", hosts: HOSTS }),
    "127.0.0.1",
    "its certificate is self-signed, or this machine does not trust its issuer",
    "give its issuer's certificate with --ca-file, or make the daemon send its whole chain",
  ],
  [
    await createSelfSigned({ name: "localhost", hosts: HOSTS }),
    "localhost",
    "its certificate is self-signed, or this machine does not trust its issuer",
    "give its issuer's certificate with --ca-file, or make the daemon send its whole chain",
  ],
];
for (const [certificate, host, what, advice] of FAULTS) {
  test(`TLS: ${what}, at ${host}, is in the log, in the client's error and in doctor's checks, and no token is sent`, async () => {
    await using file = new TempFile(trustedAuthority.cert);
    await using server = new Listener(certificate);
    const url = `wss://${host}:${server.port}/`;
    const env = { NODE_EXTRA_CA_CERTS: file.path, ALWAYSUP_TOKEN: "s3cret" };
    const args = ["--url", url, "--initialize-grace", "off"];
    args.push("--queue-timeout", "1s");
    {
      await using proxy = new ProxyProcess(args, env);
      await proxy.request(0, "initialize", {});
      const { error } = await proxy.waitForResponse(0);
      assert(error.message.includes(`${what}: ${advice}`), error.message);
      const { text } = await proxy.stderr.waitForLine((it) =>
        /Attempt 1 /.test(it)
      );
      assert(text.includes(`failed: ${what}: ${advice}. Next`), text);
    }
    const { code, stdout } = await runToExit(
      ["doctor", "--json", ...args],
      env,
    );
    assertEquals(code, 1, stdout);
    assertEquals(JSON.parse(stdout).checks[3], {
      name: "websocket",
      state: "fail",
      text: `the handshake failed: ${what}`,
      advice,
    });
    assert(server.dials >= 3);
    await server.waitUntilDrained();
    assertEquals(server.received, "");
  });
}

/**
 * Returns true if the program runs on a Node that cannot add certificate
 * authorities.
 */
async function isOnOldNode(): Promise<boolean> {
  const { stdout } = await runToExit(["--version"]);
  const [, major, minor] = /\(node (\d+)\.(\d+)/.exec(stdout)?.map(Number) ??
    [];
  if (major === undefined || minor === undefined) return false;
  return major < 22 || major === 22 && minor < 19 || major === 23 ||
    major === 24 && minor < 5;
}

test("TLS: --ca-file makes the proxy and doctor trust a private authority; a Node that does not support this reports it", async () => {
  await using file = new TempFile(
    `ours:\n${unknownAuthority.cert}${trustedAuthority.key}${trustedAuthority.cert}`,
  );
  await using daemon = new FakeWebSocketServer({
    certificate: goodCertificate,
  });
  const env = { ALWAYSUP_TOKEN: "s3cret", ALWAYSUP_CONNECTIONS: "one" };
  const args = ["--url", daemon.url, "--ca-file", file.path];
  if (await isOnOldNode()) {
    const { code, stderr } = await runToExit(args, env);
    assertEquals(code, 2);
    assertMatch(stderr, /^alwaysup: --ca-file: Node .*NODE_EXTRA_CA_CERTS/);
    return;
  }
  {
    await using proxy = new ProxyProcess(args, env);
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    const sent = daemon.handshakes[0]!.headers.get("authorization");
    assertEquals(sent, "Bearer s3cret");
  }
  const { code, stdout } = await runToExit(["doctor", ...args], env);
  assertMatch(stdout, /^ok +websocket +it is a WebSocket/m);
  assertEquals(code, 0, stdout);
});

test("TLS: an invalid certificate in --ca-file is an error that shows none of the file's text", async () => {
  const block = trustedAuthority.cert.replace(
    /M\w{20}/,
    "QUJDREVGR0hJSktMTU5P0",
  );
  await using file = new TempFile(trustedAuthority.cert + block);
  const args = ["--url", "wss://127.0.0.1/", "--ca-file", file.path];
  const { code, stdout, stderr } = await runToExit(args);
  assertEquals([code, stdout], [2, ""]);
  assertEquals(
    stderr,
    "alwaysup: --ca-file: certificate 2 in it cannot be parsed\n",
  );
});

test("TLS: NODE_EXTRA_CA_CERTS is used on every runtime", async () => {
  await using file = new TempFile(trustedAuthority.cert);
  await using daemon = new FakeWebSocketServer({
    certificate: goodCertificate,
  });
  // If a second connection failed in its handshake, Deno's server would not
  // close.
  await using proxy = new ProxyProcess(["--url", daemon.url], {
    NODE_EXTRA_CA_CERTS: file.path,
    ALWAYSUP_CONNECTIONS: "one",
  });
  assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
});

test("TLS: with NODE_TLS_REJECT_UNAUTHORIZED=0, wss:// is an error and nothing is dialed; ws:// works", async () => {
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", ALWAYSUP_TOKEN: "s3cret" };
  const why = /NODE_TLS_REJECT_UNAUTHORIZED: it is 0, .*--ca-file/;
  await using server = new Listener(goodCertificate);
  const args = ["--url", `wss://127.0.0.1:${server.port}/`];
  const proxy = await runToExit(args, env);
  assertEquals([proxy.code, proxy.stdout], [2, ""]);
  assertMatch(proxy.stderr, why);
  const doctor = await runToExit(["doctor", ...args], env);
  assertEquals(doctor.code, 2);
  assertMatch(doctor.stdout, why);
  assertEquals(server.dials, 0);
  await using daemon = new FakeWebSocketServer();
  await using other = new ProxyProcess(["--url", daemon.url], env);
  assertEquals((await other.initialize()).result.serverInfo.name, "raw");
});

test("TLS: HTTP 401 over wss:// gives the client an error at once, and the next dial waits for 30 s", async () => {
  await using file = new TempFile(trustedAuthority.cert);
  const answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
  await using server = new Listener(goodCertificate, 0, answer);
  const url = `wss://127.0.0.1:${server.port}/`;
  const args = ["--url", url, "--initialize-grace", "off"];
  const env = { NODE_EXTRA_CA_CERTS: file.path, ALWAYSUP_TOKEN: "wr0ng" };
  await using proxy = new ProxyProcess(args, env);
  await proxy.request(0, "initialize", {});
  const { error } = await proxy.waitForResponse(0);
  assertMatch(error.message, /refuses the connection with HTTP 401/);
  const { text } = await proxy.stderr.waitForLine((line) =>
    /Attempt 1 /.test(line)
  );
  assertMatch(text, /Next attempt in 3\d\.\d s/);
});

test("TLS: a daemon with a renewed certificate is reached", async () => {
  await using file = new TempFile(trustedAuthority.cert);
  const [expired] = FAULTS[0]!;
  // No other program gets this port between the two servers.
  const port = freePort();
  const server = new Listener(expired, port);
  const url = `wss://127.0.0.1:${port}/`;
  await using proxy = new ProxyProcess(["--url", url], {
    NODE_EXTRA_CA_CERTS: file.path,
    ALWAYSUP_CONNECTIONS: "one",
  });
  const answer = proxy.initialize();
  await proxy.stderr.waitForLine((line) => /has expired/.test(line));
  await server[Symbol.asyncDispose]();
  await using _daemon = new FakeWebSocketServer({
    certificate: goodCertificate,
  }, port);
  assertEquals((await answer).result.serverInfo.name, "raw");
});
