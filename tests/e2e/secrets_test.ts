/**
 * Tests that no output of the program contains a secret from its settings. The
 * daemons quote the secrets in many encodings.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { ProxyProcess, runToExit } from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const TOKEN = "tok3n-0123456789-abcdef";
const COOKIE = "m1ddle-of-a-c00kie";
const QUERY = "qu3ry/v4lue+1";
const USER = "us3r@name";
const PASSWORD = 'p4ss/w0rd+"%x';
const KEY = "k3y-0123456789";

/** Settings, and the secrets in them that must not be shown. */
const CASES: [what: string, env: Record<string, string>, secrets: string[]][] =
  [
    ["a token, a cookie and a query", {
      ALWAYSUP_TOKEN: TOKEN,
      ALWAYSUP_HEADERS: `Cookie: first=0ne1; sid=${COOKIE}; last=thr33`,
      ALWAYSUP_URL: `ws://HOST/?room=${encodeURIComponent(QUERY)}`,
    }, [TOKEN, COOKIE, QUERY]],
    ["a user, a password and a header", {
      ALWAYSUP_HEADERS: `X-Customer: ${KEY}`,
      ALWAYSUP_URL: `ws://${encodeURIComponent(USER)}:${
        encodeURIComponent(PASSWORD)
      }@HOST/`,
    }, [USER, PASSWORD, KEY]],
  ];

/** Returns the encodings in which a daemon may quote a secret. */
function encodings(secret: string): string[] {
  const encoded = encodeURIComponent(secret);
  const escaped = [...secret].map((char) =>
    `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  );
  return [
    ...[secret, secret.toUpperCase(), encoded, encoded.toLowerCase()],
    ...[encodeURIComponent(encoded), encoded.replaceAll("%20", "+")],
    ...[btoa(secret), JSON.stringify(secret).slice(1, -1), escaped.join("")],
  ];
}

/** Returns the encodings of secrets that a text contains, in any case. */
function foundSecrets(text: string, secrets: readonly string[]): string[] {
  const lower = text.toLowerCase();
  return secrets.flatMap(encodings).filter((it) =>
    // The padding of Base64 is removed, because it depends on what follows.
    lower.includes(it.replace(/=+$/, "").toLowerCase())
  );
}

/**
 * A daemon that quotes secrets in valid responses and in many invalid messages.
 */
class SecretQuotingServer extends FakeWebSocketServer {
  constructor(secrets: readonly string[]) {
    const all = secrets.flatMap(encodings);
    const quote = all.join(" ");
    super({
      respond: ({ id, method, params }: Json, socket: WebSocket): Json => {
        if (id === undefined || method === undefined) return undefined;
        switch (method) {
          case "initialize":
            return {
              id,
              result: {
                protocolVersion: params.protocolVersion,
                capabilities: { tools: {}, logging: {} },
                serverInfo: { name: quote, version: quote },
                instructions: quote,
              },
            };
          case "ping":
            return { id, result: {} };
          case "prompts/list":
            return { id, result: { prompts: [] } };
          case "tools/list": {
            const inputSchema = { type: "object" };
            const tool = { name: "t", description: quote, inputSchema };
            return { id, result: { tools: [tool] } };
          }
          case "tools/call":
            if (params.name === "die") {
              for (const it of all) if (it.length < 100) socket.close(1011, it);
              return undefined;
            }
            for (const it of [quote, `[${quote}]`, ...all]) {
              socket.send(it);
              const quoted = JSON.stringify(it);
              socket.send(`{"jsonrpc":"2.0","method":${quoted}}`);
              socket.send(`{"jsonrpc":"2.0","id":${quoted},"result":{}}`);
              socket.send(
                `{"jsonrpc":"2.0","id":${quoted},"result":0,"error":1}`,
              );
              socket.send(
                `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":${quoted}}}`,
              );
              socket.send(new TextEncoder().encode(`\xff${it}`));
            }
            return params.name === "error"
              ? { id, error: { code: -32001, message: quote, data: [quote] } }
              : {
                id,
                result: {
                  isError: true,
                  content: [{ type: "text", text: quote }],
                },
              };
          default:
            return { id, error: { message: quote } };
        }
      },
    });
  }
}

/** A temporary home folder for all files that the program may write. */
class Home implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "home-" });
  readonly env = {
    ...{ HOME: this.path, USERPROFILE: this.path, APPDATA: this.path },
    ...{ LOCALAPPDATA: this.path, XDG_CONFIG_HOME: this.path },
    ...{ XDG_STATE_HOME: this.path, ALWAYSUP_CACHE: "on" },
    ...{ ALWAYSUP_STATUS: "on", LOG_LEVEL: "debug" },
    ALWAYSUP_LOG_FILE: `${this.path}/alwaysup.log`,
  };

  /** Returns the paths and texts of all files. */
  texts(folder = this.path): string {
    return [...Deno.readDirSync(folder)].map(({ name, isDirectory }) => {
      const path = `${folder}/${name}`;
      // The runtime's cache of the source is not an output of the program.
      if (name === ".cache") return "";
      return isDirectory
        ? this.texts(path)
        : `${path}\n${Deno.readTextFileSync(path)}\n`;
    }).join("");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Runs a whole session. Returns every output by its name. */
async function runConversation(
  settings: Record<string, string>,
  home: Home,
  secrets: readonly string[],
): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  const daemon = new SecretQuotingServer(secrets);
  const env: Record<string, string> = {
    ...home.env,
    ...settings,
    ALWAYSUP_URL: settings.ALWAYSUP_URL!.replace(
      "HOST",
      `127.0.0.1:${daemon.port}`,
    ),
  };
  await using proxy = new ProxyProcess([], env);
  await proxy.initialize();
  for (
    const [id, list] of [[0.5, "prompts/list"], [1, "tools/list"]] as const
  ) {
    await proxy.request(id, list);
    await proxy.waitForResponse(id);
  }
  for (const [id, name] of [[2, "error"], [3, "tool"]] as const) {
    await proxy.callTool(id, name);
    out[`answer to ${name}`] = JSON.stringify(await proxy.waitForResponse(id));
  }
  await proxy.request(4, "unknown");
  out["answer to another"] = JSON.stringify(await proxy.waitForResponse(4));
  for (const flags of [["--json"], []]) {
    const { stdout, stderr } = await runToExit(
      ["doctor", "--connect", ...flags],
      env,
    );
    assert(stdout.includes("***"), "doctor shows the daemon's message");
    out[`doctor ${flags}`] = stdout + stderr;
  }
  await proxy.callTool(5, "die");
  out["answer to die"] = JSON.stringify(await proxy.waitForResponse(5));
  await daemon[Symbol.asyncDispose]();
  await proxy.stderr.waitForLine((line) => line.includes("Attempt"));
  const { stdout } = await runToExit(["status", "--json"], env);
  out.status = stdout;
  const read = await runToExit(["doctor"], env);
  out["doctor, running"] = read.stdout + read.stderr;
  out.files = home.texts();
  await proxy.closeStdin();
  out["files at the end"] = home.texts();
  out.log = proxy.stderr.lines.map(({ text }) => text).join("\n");
  return out;
}

for (const [what, settings, secrets] of CASES) {
  for (const LOG_FORMAT of ["text", "json"]) {
    test(`Secrets: none leaves the program, ${what}, log in ${LOG_FORMAT}`, async () => {
      using home = new Home();
      const out = await runConversation(
        { ...settings, LOG_FORMAT },
        home,
        secrets,
      );
      for (const [way, text] of Object.entries(out)) {
        assert(text.length > 0, way);
        assertEquals(foundSecrets(text, secrets), [], `${way}: ${text}`);
      }
      assert(out.log!.includes("***"), "the daemon's message is in the log");
      for (const text of [out.log!, out["files at the end"]!]) {
        assert(
          text.includes("is not cached"),
          "the log says that a result is not cached",
        );
      }
      assert(
        out["files at the end"]!.includes('"prompts/list"'),
        "results without secrets are saved",
      );
    });
  }
}
