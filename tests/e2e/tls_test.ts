/**
 * `wss://` with a private certificate authority: who is believed, what is said
 * of a certificate that is bad, and that nothing is sent to who shows it.
 *
 * @module
 */

import type { Trouble } from "../../lib/runtime/host.ts";
import { faultFinder } from "../../lib/transport/tls_diagnosis.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { authority, type Issued, selfSigned } from "../helpers/certificates.ts";
import { test, within } from "../helpers/time_limit.ts";
import { RawDaemon } from "../helpers/fake_websocket_server.ts";
import { execute, Proxy } from "../helpers/process.ts";

const HOSTS = ["127.0.0.1", "localhost"];
const ours = await authority("Ours");
const others = await authority("Another's");
const good = await ours.issue({ name: "good", hosts: HOSTS });
const elsewhere = ["a.example", "b.example", "10.1.2.3"];

/** A file, for as long as a test runs. */
class File implements AsyncDisposable {
  readonly path: string;

  constructor(text: string) {
    this.path = Deno.makeTempFileSync({ prefix: "ca-", suffix: ".pem" });
    Deno.writeTextFileSync(this.path, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path);
  }
}

/** A server over TLS that speaks HTTP/1.1 only, as most do, and keeps all that it is sent. */
class Listener implements AsyncDisposable {
  readonly #listener: Deno.TlsListener;
  readonly #served: Promise<void>;
  readonly #answer: string | undefined;
  readonly #open = new Set<Deno.TlsConn>();
  readonly #ended: Promise<void>[] = [];
  dials = 0;
  received = "";

  constructor(
    issued: Issued,
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
      // Who dials does not like our certificate.
    }
    connection[Symbol.dispose]();
    this.#open.delete(connection);
  }

  /** Waits until all who have dialed are gone, and everything is read that they wrote. */
  async drained(): Promise<void> {
    await within(Promise.all(this.#ended), "the connections to end");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) connection[Symbol.dispose]();
    await this.#served;
  }
}

/** What is wrong with a certificate, and what is said of it. */
const FAULTS: readonly (readonly [
  certificate: Issued,
  host: string,
  what: string,
  advice: string,
])[] = [
  [
    await ours.issue({ name: "old", hosts: HOSTS, from: -9, until: -1 }),
    "127.0.0.1",
    "its certificate has expired",
    "renew it, or check this machine's clock",
  ],
  [
    await ours.issue({ name: "new", hosts: HOSTS, from: 1, until: 9 }),
    "127.0.0.1",
    "its certificate is not valid yet",
    "check this machine's clock, or have one issued that is valid now",
  ],
  [
    await ours.issue({ name: "elsewhere", hosts: elsewhere }),
    "localhost",
    `its certificate is for another name (${elsewhere.join(", ")})`,
    "use one of its names in the URL, or have one issued for the URL's host",
  ],
  [
    await others.issue({ name: "others", hosts: HOSTS }),
    "127.0.0.1",
    "its certificate is self-signed, or its issuer is unknown here",
    "name its issuer's certificate with --ca-file, or have the daemon send its whole chain",
  ],
  [
    await selfSigned({ name: "localhost", hosts: HOSTS }),
    "localhost",
    "its certificate is self-signed, or its issuer is unknown here",
    "name its issuer's certificate with --ca-file, or have the daemon send its whole chain",
  ],
];
for (const [certificate, host, what, advice] of FAULTS) {
  test(`TLS: ${what}, at ${host}, is in the log, in the client's error and in doctor's checks, and no token is sent`, async () => {
    await using file = new File(ours.cert);
    await using server = new Listener(certificate);
    const url = `wss://${host}:${server.port}/`;
    const env = { NODE_EXTRA_CA_CERTS: file.path, ALWAYSUP_TOKEN: "s3cret" };
    const args = ["--url", url, "--initialize-grace", "off"];
    args.push("--queue-timeout", "400ms");
    {
      await using proxy = new Proxy(args, env);
      await proxy.ask(0, "initialize", {});
      const { error } = await proxy.answer(0);
      assert(error.message.includes(`${what}: ${advice}`), error.message);
      const { text } = await proxy.stderr.find((it) => /Attempt 1 /.test(it));
      assert(text.includes(`failed: ${what}: ${advice}. Next`), text);
    }
    const { code, stdout } = await execute(["doctor", "--json", ...args], env);
    assertEquals(code, 1, stdout);
    assertEquals(JSON.parse(stdout).checks[3], {
      name: "websocket",
      state: "fail",
      text: `the handshake failed: ${what}`,
      advice,
    });
    assert(server.dials >= 3);
    await server.drained();
    assertEquals(server.received, "");
  });
}

/** Whether a Node that takes no further authorities runs the program under test. */
async function isOnOldNode(): Promise<boolean> {
  const { stdout } = await execute(["--version"]);
  const [, major, minor] = /\(node (\d+)\.(\d+)/.exec(stdout)?.map(Number) ??
    [];
  if (major === undefined || minor === undefined) return false;
  return major < 22 || major === 22 && minor < 19 || major === 23 ||
    major === 24 && minor < 5;
}

test("TLS: --ca-file makes the proxy and doctor trust a private authority; a Node that cannot says so", async () => {
  await using file = new File(`ours:\n${others.cert}${ours.key}${ours.cert}`);
  await using daemon = new RawDaemon({ issued: good });
  const env = { ALWAYSUP_TOKEN: "s3cret", ALWAYSUP_CONNECTIONS: "one" };
  const args = ["--url", daemon.url, "--ca-file", file.path];
  if (await isOnOldNode()) {
    const { code, stderr } = await execute(args, env);
    assertEquals(code, 2);
    assertMatch(stderr, /^alwaysup: --ca-file: Node .*NODE_EXTRA_CA_CERTS/);
    return;
  }
  {
    await using proxy = new Proxy(args, env);
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    const sent = daemon.requests[0]!.headers.get("authorization");
    assertEquals(sent, "Bearer s3cret");
  }
  const { code, stdout } = await execute(["doctor", ...args], env);
  assertMatch(stdout, /^ok +websocket +it is a WebSocket/m);
  assertEquals(code, 0, stdout);
});

test("TLS: --ca-file with no certificate in it starts nothing, and shows nothing of it", async () => {
  const block = ours.cert.replace(/M\w{20}/, "QUJDREVGR0hJSktMTU5P0");
  await using file = new File(ours.cert + block);
  const args = ["--url", "wss://127.0.0.1/", "--ca-file", file.path];
  const { code, stdout, stderr } = await execute(args);
  assertEquals([code, stdout], [2, ""]);
  assertEquals(
    stderr,
    "alwaysup: --ca-file: certificate 2 in it cannot be parsed\n",
  );
});

test("TLS: NODE_EXTRA_CA_CERTS counts on every runtime", async () => {
  await using file = new File(ours.cert);
  await using daemon = new RawDaemon({ issued: good });
  // A second connection that breaks off in its handshake keeps Deno's server from its end.
  await using proxy = new Proxy(["--url", daemon.url], {
    NODE_EXTRA_CA_CERTS: file.path,
    ALWAYSUP_CONNECTIONS: "one",
  });
  assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
});

test("TLS: with NODE_TLS_REJECT_UNAUTHORIZED=0 wss:// is refused and nothing dialed, ws:// works", async () => {
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", ALWAYSUP_TOKEN: "s3cret" };
  const why = /NODE_TLS_REJECT_UNAUTHORIZED: it is 0, .*--ca-file/;
  await using server = new Listener(good);
  const args = ["--url", `wss://127.0.0.1:${server.port}/`];
  const proxy = await execute(args, env);
  assertEquals([proxy.code, proxy.stdout], [2, ""]);
  assertMatch(proxy.stderr, why);
  const doctor = await execute(["doctor", ...args], env);
  assertEquals(doctor.code, 1);
  assertMatch(doctor.stdout, why);
  assertEquals(server.dials, 0);
  await using daemon = new RawDaemon();
  await using other = new Proxy(["--url", daemon.url], env);
  assertEquals((await other.initialize()).result.serverInfo.name, "raw");
});

test("TLS: HTTP 401 over wss:// gives the client an error that says what to do, and the daemon is not dialed again and again", async () => {
  await using file = new File(ours.cert);
  const answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
  await using server = new Listener(good, 0, answer);
  const url = `wss://127.0.0.1:${server.port}/`;
  const args = ["--url", url, "--initialize-grace", "off"];
  const env = { NODE_EXTRA_CA_CERTS: file.path, ALWAYSUP_TOKEN: "wr0ng" };
  await using proxy = new Proxy(args, env);
  await proxy.ask(0, "initialize", {});
  const { error } = await proxy.answer(0);
  assertMatch(error.message, /refuses us with HTTP 401/);
  const { text } = await proxy.stderr.find((line) => /Attempt 1 /.test(line));
  assertMatch(text, /Next attempt in 3\d\.\d s/);
});

test("TLS: a daemon with a renewed certificate is reached", async () => {
  await using file = new File(ours.cert);
  const [expired] = FAULTS[0]!;
  const server = new Listener(expired);
  const { port } = server;
  const url = `wss://127.0.0.1:${port}/`;
  await using proxy = new Proxy(["--url", url], {
    NODE_EXTRA_CA_CERTS: file.path,
    ALWAYSUP_CONNECTIONS: "one",
  });
  const answer = proxy.initialize();
  await proxy.stderr.find((line) => /has expired/.test(line));
  await server[Symbol.asyncDispose]();
  await using _daemon = new RawDaemon({ issued: good }, port);
  assertEquals((await answer).result.serverInfo.name, "raw");
});

test("TLS: the reason of a failed dial is looked up once in a while, and never past a proxy", async () => {
  let asked = 0;
  const askOverTls = (): Promise<string | Trouble> => {
    asked++;
    return Promise.resolve({ text: "x", error: "CERT_HAS_EXPIRED" });
  };
  const host = {
    askOverTls,
    proxies: () => ["HTTPS_PROXY"],
    variable: () => undefined,
  };
  const ask = faultFinder(host);
  const dial = ["wss://h/", undefined, []] as const;
  const found = await Promise.all([ask(...dial), ask(...dial)]);
  assertEquals(found.map((it) => it?.text), ["x", "x"]);
  assertEquals(asked, 1);
  const behind = faultFinder({ ...host, variable: () => "http://proxy/" });
  assertEquals(await behind(...dial), undefined);
  assertEquals(asked, 1);
  // What the runtime dials without the proxy, may be asked without it.
  await behind("wss://127.0.0.1/", undefined, []);
  assertEquals(asked, 2);
});
