/**
 * Tests how flags, environment variables and files become a configuration or a
 * list of problems.
 *
 * @module
 */

import {
  type Config,
  type ConfigResult,
  envFileSettingOf,
  explicitSettingsOf,
  readConfig,
  type SettingSources,
} from "../../../lib/config/config.ts";
import { createRedactor } from "../../../lib/config/secrets.ts";
import { decodeUtf8 } from "../../../lib/text/utf8.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

function noFile(): never {
  throw new Error("No such file");
}

function config(
  sources: Partial<SettingSources>,
  readFile = (_: string): string => noFile(),
): Config {
  const reading = readConfig({ args: [], env: {}, ...sources }, readFile);
  if (reading.kind === "problems") throw new Error(reading.problems.join("\n"));
  return reading.config;
}

function problems(...args: string[]): readonly string[] {
  const reading = readConfig({ args, env: {} }, noFile);
  return reading.kind === "problems" ? reading.problems : [];
}

test("Config: without any setting, each setting has its default", () => {
  const found = config({});
  const {
    redactedUrl: _,
    cachedResults: __,
    version: ___,
    ...rest
  } = DEFAULT_CONFIG;
  // Sessions in tests use `many`, because then there is no capacity check.
  const defaults: Record<string, unknown> = { ...rest, connections: "auto" };
  for (const [name, value] of Object.entries(defaults)) {
    assertEquals<unknown>(found[name as keyof Config], value, name);
  }
  assertEquals(found.url, "ws://127.0.0.1:8079/");
  assertEquals([found.logLevel, found.logFormat, found.headers], [
    "info",
    "text",
    [],
  ]);
});

test("Config: a flag wins over the environment, the environment over the file, the file over the default", () => {
  const env = { ALWAYSUP_URL: "ws://env/" };
  const file = { ALWAYSUP_URL: "ws://file/", ALWAYSUP_RETRY: "never" };
  const args = ["--url", "ws://flag/"];
  assertEquals(config({ args, env, file }).url, "ws://flag/");
  assertEquals(config({ env, file }).url, "ws://env/");
  assertEquals(config({ file }).url, "ws://file/");
  assertEquals(config({ file, env: { ALWAYSUP_RETRY: "" } }).retry, "never");
});

test("Config: flags may be written with = and after --", () => {
  assertEquals(config({ args: ["--url=ws://a/?b=c"] }).url, "ws://a/?b=c");
  assertEquals(config({ args: ["--", "--url", "ws://a/"] }).url, "ws://a/");
});

const DURATIONS: [text: string, ms: number | undefined][] = [
  ["250ms", 250],
  ["45s", 45_000],
  ["5m", 300_000],
  ["1h", 3_600_000],
  ["1.5s", 1_500],
  ["20", 20_000],
  ["0", undefined],
  ["-1", undefined],
  ["1d", undefined],
  ["5 s", undefined],
  ["", undefined],
  ["1e3", undefined],
  ["721h", undefined],
  ["NaN", undefined],
];

for (const [text, ms] of DURATIONS) {
  test(`Config: reads a duration, or refuses it: ${text || "(nothing)"}`, () => {
    const args = [`--ping-timeout=${text}`];
    if (ms === undefined) assertEquals(problems(...args).length, 1);
    else assertEquals(config({ args }).pingTimeout, ms);
  });
}

test("Config: 0 and off disable a limit, if that is allowed", () => {
  for (const text of ["0", "off"]) {
    const args = [
      `--queue-timeout=${text}`,
      `--ping-interval=${text}`,
      `--idle-timeout=${text}`,
      `--queue-limit=${text}`,
      `--max-message=${text}`,
    ];
    const found = config({ args });
    assertEquals(
      [
        found.queueTimeout,
        found.pingInterval,
        found.idleTimeout,
        found.queueLimit,
        found.maxMessage,
      ],
      [Infinity, Infinity, Infinity, Infinity, Infinity],
    );
    assertEquals(problems(`--backoff-cap=${text}`).length, 1);
  }
});

test("Config: a size may have a unit", () => {
  assertEquals(
    config({ args: ["--max-message", "1MiB"] }).maxMessage,
    1_048_576,
  );
  assertEquals(config({ args: ["--max-message", "2048"] }).maxMessage, 2048);
  assertEquals(problems("--max-message", "5").length, 1);
  assertEquals(problems("--max-message", "1MB").length, 1);
});

test("Config: reports every problem at once", () => {
  const found = problems(
    ...["--url", "http://x/", "--retry", "maybe", "--backoff-base", "1m"],
    ...["--colour", "red", "serve", "--queue-limit"],
  );
  const named = found.map((problem) => problem.split(":")[0]);
  assertEquals(named.toSorted(), [
    "--backoff-base",
    "--colour",
    "--queue-limit",
    "--retry",
    "--url",
    "argument 9",
  ]);
});

const BAD_URLS = [
  "ws://%zz:pw@host/",
  "",
  "localhost:80",
  "http://x/",
  "ws://",
  "ws://x/#y",
  "ws://[/",
];

for (const url of BAD_URLS) {
  test(`Config: refuses a bad URL: ${url || "(nothing)"}`, () => {
    assertEquals(problems(`--url=${url}`).length, 1);
  });
}

test("Config: refuses a flag that is given twice, except --header", () => {
  assertEquals(problems("--retry", "safe", "--retry", "never").length, 1);
  const args = ["--header", "X-A: 1", "--header", "X-B: 2: 3"];
  assertEquals(config({ args }).headers, [["X-A", "1"], ["X-B", "2: 3"]]);
  assertEquals(problems("--header", "X-A: 1", "--header", "x-a: 2").length, 1);
  assertEquals(problems("--header", "Upgrade: no").length, 1);
});

test("Config: a bad value in a variable that other programs share gives a warning and the default", () => {
  const env = { LOG_LEVEL: "TRACE", LOG_FORMAT: "xml" };
  const reading = readConfig({ args: [], env }, noFile);
  assert(reading.kind === "config");
  assertEquals(reading.warnings.length, 2);
  assertEquals(reading.config.logLevel, "info");
  assertEquals(config({ env: { LOG_LEVEL: "DEBUG" } }).logLevel, "debug");
  assertEquals(
    problems("--log-level", "TRACE").length,
    1,
    "a flag belongs to this program alone",
  );
});

test("Config: sends a token from a file or the environment as a bearer token", () => {
  const bearer = [["Authorization", "Bearer s3cret"] as const];
  const mcp = ["--dialect", "mcp"];
  const args = [...mcp, "--token-file", "/run/token"];
  assertEquals(config({ args }, () => "s3cret\n").headers, bearer);
  const env = { ALWAYSUP_TOKEN: "s3cret" };
  assertEquals(config({ args: mcp, env }).headers, bearer);
});

const USERS: [user: string, sent: string][] = [
  ["us%40er:p%3Aw", "us@er:p:w"],
  ["user", "user:"],
  [":pw", ":pw"],
  ["%C3%A9:pw", "\xc3\xa9:pw"],
];

test("Config: sends the URL's user and password as Basic, unless another authorization is set", () => {
  for (const [user, sent] of USERS) {
    const env = { ALWAYSUP_URL: `ws://${user}@h/` };
    const basic = ["Authorization", `Basic ${btoa(sent)}`] as const;
    assertEquals(config({ env }).headers, [basic]);
    const token = { ...env, ALWAYSUP_TOKEN: "t" };
    const bearer = ["Authorization", "Bearer t"] as const;
    assertEquals(config({ env: token }).headers, [bearer]);
    const own = { ...env, ALWAYSUP_HEADERS: "authorization: x" };
    assertEquals(config({ env: own }).headers, [["authorization", "x"]]);
  }
});

test("Config: an exai daemon gets the token in hello only, and no other daemon gets EXAI_WS_TOKEN", () => {
  const file = config({ args: ["--token-file", "/run/token"] }, () => "a\n");
  assertEquals([file.headers, file.helloToken], [[], "a"]);
  const env = { EXAI_WS_TOKEN: "b" };
  assertEquals(config({ env }).helloToken, "b");
  assertEquals(
    config({ env: { ...env, ALWAYSUP_TOKEN: "c" } }).helloToken,
    "c",
  );
  assertEquals(config({}).helloToken, "");
  const odd = "two w\u00f6rds";
  assertEquals(config({ env: { EXAI_WS_TOKEN: odd } }).helloToken, odd);
  const args = ["--token-file", "/run/token"];
  assertEquals(config({ args }, () => ` ${odd}\n`).helloToken, odd);
  const other = config({ env, args: ["--url", "ws://other/"] });
  assertEquals([other.headers, other.helloToken], [[], ""]);
});

const TARGETS: [Partial<SettingSources>, dialect: string, url: string][] = [
  [{}, "exai", "ws://127.0.0.1:8079/"],
  [{ env: { EXAI_WS_PORT: "3010" } }, "exai", "ws://127.0.0.1:3010/"],
  [{ env: { EXAI_WS_HOST: "box" } }, "exai", "ws://box:8079/"],
  [{ env: { EXAI_WS_HOST: "::1" } }, "exai", "ws://[::1]:8079/"],
  [{ env: { EXAI_WS_HOST: "[::1]" } }, "exai", "ws://[::1]:8079/"],
  [{ env: { EXAI_WS_HOST: "0.0.0.0" } }, "exai", "ws://127.0.0.1:8079/"],
  [{ file: { EXAI_WS_PORT: "1" } }, "exai", "ws://127.0.0.1:1/"],
  [{ env: { ALWAYSUP_URL: "ws://a/" } }, "mcp", "ws://a/"],
  [{ args: ["--url", "ws://a/"] }, "mcp", "ws://a/"],
  [
    { args: ["--url", "ws://a/"], env: { EXAI_WS_PORT: "1" } },
    "mcp",
    "ws://a/",
  ],
  [{ env: { ALWAYSUP_URL: "ws://a/", EXAI_WS_PORT: "1" } }, "mcp", "ws://a/"],
  [
    { env: { EXAI_WS_PORT: "1" }, file: { ALWAYSUP_URL: "ws://a/" } },
    "exai",
    "ws://127.0.0.1:1/",
  ],
  [{ args: ["--url", "ws://a/", "--dialect", "exai"] }, "exai", "ws://a/"],
  [{ args: ["--dialect", "mcp"] }, "mcp", "ws://127.0.0.1:8079/"],
];

for (const [sources, dialect, url] of TARGETS) {
  test(`Config: chooses the daemon's URL and dialect: ${JSON.stringify(sources)}`, () => {
    const found = config(sources);
    assertEquals([found.dialect, found.url], [dialect, url]);
  });
}

test("Config: reads the variables of the Python shim", () => {
  const found = config({
    env: {
      EXAI_WS_HANDSHAKE_TIMEOUT: "7",
      EXAI_WS_CONNECT_TIMEOUT: "8.5",
      EXAI_WS_MAX_BYTES: "33554432",
      EXAI_WS_PING_INTERVAL: "45",
      EXAI_WS_PING_TIMEOUT: "30",
      EXAI_WS_AUTOSTART: "true",
      EXAI_WS_PING_VALIDATION_TIMEOUT: "5.0",
      EXAI_SHIM_ACK_GRACE_SECS: "0",
      EXAI_SESSION_ID: "editor-1",
      MCP_SERVER_ID: "ex-ws-shim",
      EXAI_WS_HEALTH_FILE: "/logs/h.json",
    },
  });
  assertEquals(
    [found.handshakeTimeout, found.queueTimeout, found.maxMessage],
    [7_000, 8_500, 33_554_432],
  );
  assertEquals([found.pingInterval, found.pingTimeout], [5_000, 5_000]);
  assertEquals([found.ackGrace, found.sessionId], [0, "editor-1"]);
  assertEquals(
    [found.serverName, found.healthFile],
    ["ex-ws-shim", "/logs/h.json"],
  );
});

test("Config: EXAI_WS_PING_INTERVAL can only switch probes off", () => {
  const off = { EXAI_WS_PING_INTERVAL: "0" };
  assertEquals(config({ env: off }).pingInterval, Infinity);
  assertEquals(
    config({ env: { ...off, ALWAYSUP_PING_INTERVAL: "3s" } }).pingInterval,
    3_000,
  );
});

test("Config: ignores the health file if a setting says so, or if the dialect is mcp", () => {
  const env = { EXAI_WS_HEALTH_FILE: "/h", EXAI_WS_SKIP_HEALTH_CHECK: "True" };
  assertEquals(config({ env }).healthFile, undefined);
  const args = ["--dialect", "mcp"];
  const { EXAI_WS_HEALTH_FILE } = env;
  assertEquals(
    config({ env: { EXAI_WS_HEALTH_FILE }, args }).healthFile,
    undefined,
  );
});

test("Config: an invalid value of an EXAI_ variable is a problem; a value that only the daemon accepts is a warning", () => {
  for (
    const [name, value] of [
      ["EXAI_WS_PORT", "http"],
      ["EXAI_WS_PORT", "0"],
      ["EXAI_WS_HOST", "ws://box"],
      ["EXAI_WS_HOST", "a b"],
      ["EXAI_WS_CONNECT_TIMEOUT", "soon"],
      ["EXAI_SHIM_ACK_GRACE_SECS", "-1"],
    ] as const
  ) {
    const reading = readConfig({ args: [], env: { [name]: value } }, noFile);
    assert(reading.kind === "problems", `${name}=${value}`);
    assertMatch(reading.problems.join(), new RegExp(`^${name}: [^\n]+$`));
  }
  const env = { EXAI_SESSION_ID: "my session", EXAI_WS_PING_INTERVAL: "x" };
  const reading = readConfig({ args: [], env }, noFile);
  assert(reading.kind === "config");
  assertEquals(reading.config.sessionId, undefined);
  assertEquals(reading.config.pingInterval, 5_000);
  assertEquals(reading.warnings.length, 2);
});

const SECRETS: [args: string[], env: Record<string, string>][] = [
  [["--token", "s3cret"], {}],
  [["ws://user:s3cret@host/"], {}],
  [["--header", "Authorization: s3cret"], {}],
  [["--header", "X-Api-Key: s3cret"], {}],
  [["--header", "Cookie: s3cret"], {}],
  [["--url", "ws://u:s3cret@x/"], {}],
  [["--url", "ws://x/?token=s3cret"], {}],
  [["--url", "ws://x/?auth=s3cret"], {}],
  [["--header", "X-Auth: s3cret"], {}],
  [["--header", "X-Credential: s3cret"], {}],
  [[], { ALWAYSUP_TOKEN: "two words s3cret" }],
  [[], { ALWAYSUP_URL: "http://u:s3cret@x/" }],
  [[], { ALWAYSUP_HEADERS: "no colon s3cret" }],
  [["--dialect", "mcp"], {
    ALWAYSUP_TOKEN: "a",
    ALWAYSUP_HEADERS: "authorization: s3cret",
  }],
];

for (const [args, env] of SECRETS) {
  test(`Config: refuses a secret in the wrong place without repeating it: ${args.join(" ") || JSON.stringify(env)}`, () => {
    const reading = readConfig({ args, env }, noFile);
    assert(reading.kind === "problems");
    assertEquals(reading.problems.length, 1);
    assertEquals(reading.problems.join().includes("s3cret"), false);
  });
}

const VALUES: [args: string[], env: Record<string, string>][] = [
  [["--queue-timeout", "s3cret"], {}],
  [[], { ALWAYSUP_QUEUE_LIMIT: "s3cret" }],
  [[], { ALWAYSUP_MAX_MESSAGE: "s3cret" }],
  [[], { ALWAYSUP_RETRY: "s3cret" }],
  [[], { ALWAYSUP_URL: "s3cret:x@host" }],
  [[], { EXAI_WS_HOST: "u:s3cret@host" }],
  [[], { EXAI_WS_PORT: "s3cret" }],
  [[], { ALWAYSUP_TOKEN_FILE: "s3cret" }],
  [["--s3cret-0"], {}],
];

for (const [args, env] of VALUES) {
  test(`Config: a problem never repeats the bad value, which may be a secret: ${args.join(" ") || JSON.stringify(env)}`, () => {
    const reading = readConfig({ args, env }, () => {
      throw new Error("No such file: s3cret");
    });
    assert(reading.kind === "problems");
    assertEquals(reading.problems.length, 1);
    assertEquals(reading.problems.join().includes("s3cret"), false);
  });
}

test("Config: a warning never repeats the bad value of a shared variable", () => {
  const env = {
    LOG_LEVEL: "s3cret",
    QWEN_STREAM_TIMEOUT: "s3cret",
    EXAI_WS_PING_INTERVAL: "s3cret",
  };
  const reading = readConfig({ args: [], env }, noFile);
  assert(reading.kind === "config");
  assertEquals(reading.warnings.length, 3);
  const shown = JSON.stringify([
    reading.warnings,
    explicitSettingsOf({ args: [], env }),
  ]);
  assertEquals(shown.includes("s3cret"), false);
});

test("Config: collects the secrets that a daemon could quote", () => {
  const env = {
    ALWAYSUP_URL:
      "wss://us%40er:p4ss@host/?token=plain&k=k3y%2Fk3y&b=2&b4re&sort=up",
    ALWAYSUP_HEADERS: "X-Api-Key: s3cret\nX-Other: oth3r\nOrigin: publ1c\n" +
      'Cookie: theme=c00kie; sid="m1ddle"\nX-Env: test',
    ALWAYSUP_TOKEN: "t0ken",
  };
  const { secrets, urlUsers } = config({ env });
  const redact = createRedactor(secrets);
  for (
    const word of [
      ...["p4ss", "k3y/k3y", "k3y%2Fk3y", "b4re", "plain", "s3cret", "oth3r"],
      ...["c00kie", "m1ddle", "t0ken", "us@er"],
    ]
  ) assertEquals(redact(word), "***", word);
  for (const word of ["2", "publ1c", "theme", "Bearer", "test", "sort", "up"]) {
    assertEquals(redact(word), word);
  }
  assertEquals(urlUsers, ["us%40er"]);
  const basic = config({ env: { ALWAYSUP_URL: "ws://user:p4ss@host/" } });
  assertEquals(basic.urlUsers, ["user"]);
  for (const word of ["p4ss", btoa("user:p4ss")]) {
    assertEquals(
      createRedactor(basic.secrets)(word).replace(/=+$/, ""),
      "***",
      word,
    );
  }
  const exai = config({ env: { EXAI_WS_TOKEN: "t0ken" } });
  assertEquals(exai.secrets, ["t0ken"]);
  // Every user of the machine can see the flags, so they are not secret.
  const flag = config({ args: ["--header", "X-Other: oth3r"] });
  assertEquals(flag.secrets, []);
});

const UNENCRYPTED: [url: string, env: Record<string, string>, is: boolean][] = [
  ["ws://example.com/", { ALWAYSUP_TOKEN: "t" }, true],
  ["ws://10.0.0.2:1/", { ALWAYSUP_HEADERS: "X-Api-Key: k" }, true],
  ["ws://u:p@example.com/", {}, true],
  ["ws://example.com/?access_token=t", {}, true],
  ["ws://[2001:db8::1]/", { ALWAYSUP_TOKEN: "t" }, true],
  ["ws://localhost.example.com/", { ALWAYSUP_TOKEN: "t" }, true],
  ["wss://example.com/", { ALWAYSUP_TOKEN: "t" }, false],
  ["ws://example.com/", {}, false],
  ["ws://example.com/?room=1", {}, false],
  ...["localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]"]
    .map((host): [string, Record<string, string>, boolean] => [
      `ws://${host}:1/`,
      { ALWAYSUP_TOKEN: "t" },
      false,
    ]),
  ...["host.docker.internal", "host.containers.internal", "localhost."]
    .map((host): [string, Record<string, string>, boolean] => [
      `ws://${host}:1/`,
      { ALWAYSUP_TOKEN: "t" },
      false,
    ]),
  ...["[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "2130706433"]
    .map((host): [string, Record<string, string>, boolean] => [
      `ws://${host}:1/`,
      { ALWAYSUP_TOKEN: "t" },
      false,
    ]),
  ["ws://[::ffff:10.0.0.1]/", { ALWAYSUP_TOKEN: "t" }, true],
  ["ws://localhost@example.com/", { ALWAYSUP_TOKEN: "t" }, true],
  ["ws://example.com/?auth=a", {}, true],
  ["ws://example.com/?jwt=a", {}, true],
  ["ws://example.com/?author=a", {}, false],
  ["ws://example.com/", { ALWAYSUP_HEADERS: "X-Session-Id: a" }, true],
];

for (const [url, env, is] of UNENCRYPTED) {
  test(`Config: warnings about a secret without encryption: ${url} ${JSON.stringify(env)}: ${is ? "one warning" : "none"}`, () => {
    const sources = { args: [], env: { ALWAYSUP_URL: url, ...env } };
    const reading = readConfig(sources, noFile);
    assert(reading.kind === "config");
    assertEquals(reading.warnings.length, is ? 1 : 0);
    if (is) assertMatch(reading.warnings[0]!, /without encryption.*wss:/);
  });
}

test("Config: metrics that nobody can read give one warning", () => {
  const warningsOf = (...args: string[]): readonly string[] => {
    const reading = readConfig({ args, env: {} }, noFile);
    assert(reading.kind === "config");
    return reading.warnings;
  };
  const [warning, ...others] = warningsOf(
    ...["--metrics", "on", "--status", "off"],
  );
  assertMatch(warning!, /^--metrics on: it has no effect with --status off/);
  assertEquals(others, []);
  assertEquals(warningsOf("--metrics", "on"), []);
  const address = ["--metrics", "127.0.0.1:0", "--status", "off"];
  assertEquals(warningsOf(...address), []);
});

test("Config: an exai token without encryption gives one warning", () => {
  const env = { EXAI_WS_HOST: "10.0.0.2", EXAI_WS_TOKEN: "t" };
  const reading = readConfig({ args: [], env }, noFile);
  assert(reading.kind === "config");
  assertEquals(reading.warnings.length, 1);
});

for (
  const name of [
    ...["Host", "Connection", "Upgrade", "Sec-WebSocket-Key", "connection"],
    ...["Sec-WebSocket-Protocol", "SEC-WEBSOCKET-EXTENSIONS", "TE", "Trailer"],
    ...["Transfer-Encoding", "Content-Length", "content-length", "Expect"],
    ...["Keep-Alive", "Proxy-Connection"],
  ]
) {
  test(`Config: refuses a header that the user may not set: ${name}`, () => {
    for (
      const sources of [
        { args: ["--header", `${name}: 5`], env: {} },
        { args: [], env: { ALWAYSUP_HEADERS: `X-A: b\n${name}: 5` } },
      ]
    ) {
      const reading = readConfig(sources, noFile);
      assert(reading.kind === "problems");
      assertMatch(reading.problems.join(), new RegExp(`header ${name} .*RFC`));
    }
  });
}

test("Config: the shown URL contains no secret", () => {
  const env = {
    ALWAYSUP_URL: "wss://user:s3cret@host:1/path?token=s3cret&b=2",
  };
  const { url, redactedUrl } = config({ env });
  assertEquals(url, "wss://user:s3cret@host:1/path?token=s3cret&b=2");
  assertEquals(redactedUrl, "wss://host:1/path?***");
  const bare = config({ env: { ALWAYSUP_URL: "ws://h/?sk-live-s3cret" } });
  assertEquals(bare.redactedUrl, "ws://h/?***");
});

test("Config: a token file that cannot be read, or is empty, is a problem", () => {
  const sources = { args: ["--token-file", "/nowhere"], env: {} };
  const missing = readConfig(sources, noFile);
  assert(missing.kind === "problems");
  assertMatch(missing.problems[0]!, /^--token-file: it cannot be read.*path/);
  assertEquals(readConfig(sources, () => " \n").kind, "problems");
});

test("Config: a token file may have a byte order mark and CRLF; one in UTF-16 is a problem", () => {
  const read = (
    text: string | Uint8Array,
    flag = "--token-file",
    ...more: string[]
  ): ConfigResult =>
    readConfig(
      { args: [flag, "/t", "--url", "wss://h/", ...more], env: {} },
      () => typeof text === "string" ? text : decodeUtf8(text),
    );
  for (const more of [[], ["--dialect", "exai"]]) {
    const reading = read("\ufefft-1\r\n", "--token-file", ...more);
    assert(reading.kind === "config");
    const { headers, helloToken } = reading.config;
    const token = headers[0]?.[1] ?? helloToken;
    assertEquals(token.replace("Bearer ", ""), "t-1");
    for (
      const [text, why] of [
        [new Uint8Array([0xff, 0xfe, 0x74, 0, 0x0d, 0, 0x0a, 0]), /UTF-16/],
        [new Uint8Array([0xfe, 0xff, 0, 0x74]), /UTF-16/],
        [new Uint8Array([0x74, 0xe4]), /not text in UTF-8$/],
      ] as const
    ) {
      const reading = read(text, "--token-file", ...more);
      assert(reading.kind === "problems");
      assertMatch(reading.problems.join("\n"), /^--token-file: it is [^\n]+$/);
      assertMatch(reading.problems[0]!, why);
    }
  }
  const authorities = read(new Uint8Array([0xff, 0xfe]), "--ca-file");
  assert(authorities.kind === "problems");
  assertMatch(authorities.problems[0]!, /^--ca-file: it is text in UTF-16/);
});

test("Config: reads a .env file only if it is named", () => {
  assertEquals(envFileSettingOf({ args: [], env: {} }), undefined);
  const named = envFileSettingOf({ args: [], env: { ENV_FILE: "/a" } });
  assertEquals(named, { text: "/a", name: "ENV_FILE", from: "env" });
  const args = ["--env-file", "/b"];
  const flag = envFileSettingOf({ args, env: { ENV_FILE: "/a" } });
  assertEquals(flag, { text: "/b", name: "--env-file", from: "flag" });
  assertEquals(
    envFileSettingOf({ args: [], env: {}, file: { ENV_FILE: "/c" } }),
    undefined,
  );
});

test("Config: lists each explicit setting with its source, and no secret", () => {
  const found = explicitSettingsOf({
    args: ["--url", "ws://h/", "--ping-interval=1s"],
    env: {
      ALWAYSUP_URL: "ws://u:s3cret@other/?k=s3cret",
      ALWAYSUP_TOKEN: "s3cret",
      EXAI_WS_TOKEN: "s3cret",
      ALWAYSUP_HEADERS: "X-A: s3cret\nX-B: s3cret",
      MINE_STREAM_TIMEOUT: "5",
      LOG_LEVEL: "",
    },
    file: { KIMI_STREAM_TIMEOUT: "7", MINE_STREAM_TIMEOUT: "6" },
  });
  assertEquals(
    found.map(({ name, redactedValue, from }) => [name, redactedValue, from]),
    [
      ["--url", "ws://h/", "flag"],
      ["ALWAYSUP_TOKEN", "(hidden)", "env"],
      ["EXAI_WS_TOKEN", "(hidden)", "env"],
      ["ALWAYSUP_HEADERS", "X-A, X-B", "env"],
      ["--ping-interval", "1s", "flag"],
      ["KIMI_STREAM_TIMEOUT", "7", "file"],
      ["MINE_STREAM_TIMEOUT", "5", "env"],
    ],
  );
  const [url] = explicitSettingsOf({
    args: [],
    env: { ALWAYSUP_URL: "ws://u:p@h/?k=1" },
  });
  assertEquals(url?.redactedValue, "ws://h/?***");
});

const WSS = ["--url", "wss://127.0.0.1/"];

test("Config: refuses wss:// if certificates would not be verified, but accepts ws://", () => {
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  const reading = readConfig({ args: WSS, env }, noFile);
  assert(reading.kind === "problems");
  assertEquals(reading.problems.length, 1);
  assertMatch(
    reading.problems[0]!,
    /^NODE_TLS_REJECT_UNAUTHORIZED: it is 0, .* must be checked; .*--ca-file/,
  );
  config({ args: ["--url", "ws://127.0.0.1/"], env });
  config({ env });
  // Runtimes ignore this variable in a `.env` file.
  config({ args: WSS, file: env });
  for (const value of ["1", "", "false", "00", " 0"]) {
    config({ args: WSS, env: { NODE_TLS_REJECT_UNAUTHORIZED: value } });
  }
});

/** Returns a block of a PEM file (RFC 7468). */
function block(label: string, text: string): string {
  return `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
}

test("Config: takes only the certificates from a --ca-file", () => {
  const [one, two] = [block("CERTIFICATE", "QUJD"), block("CERTIFICATE", "==")];
  const key = block("PRIVATE KEY", "c2VjcmV0");
  const args = [...WSS, "--ca-file", "/ca"];
  const text = `# ours\r\n${one}${key}${two.replaceAll("\n", "\r\n")}`;
  const { caCertificates } = config({ args }, () => text);
  assertEquals(
    caCertificates.map((it) => it.replaceAll("\r", "")),
    [one, two].map((it) => it.trim()),
  );
  const env = { ALWAYSUP_CA_FILE: "/ca" };
  assertEquals(config({ args: WSS, env }, () => one).caCertificates.length, 1);
  assertEquals(config({ args: WSS }).caCertificates, []);
  // The CA file is not read for ws://.
  assertEquals(config({ env }).caCertificates, []);
});

test("Config: a --ca-file that cannot be read or has no certificate is a problem, which does not quote the file", () => {
  const args = [...WSS, "--ca-file", "/ca"];
  const why = (readFile: () => string): string => {
    const reading = readConfig({ args, env: {} }, readFile);
    assert(reading.kind === "problems");
    return reading.problems.join("\n");
  };
  assertMatch(
    why(noFile),
    /^--ca-file: it cannot be read; it must be the path/,
  );
  const none = /^--ca-file: it contains no certificate \(PEM, .*\)$/;
  const key = block("PRIVATE KEY", "c2VjcmV0");
  for (const text of ["", "s3cret", key, "-----BEGIN CERTIFICATE-----\nQUJD"]) {
    assertMatch(why(() => text), none);
  }
});

test("Config: GLM and KIMI have default timeouts, and other providers only have the timeouts of their variables", () => {
  const sources = {
    args: [],
    env: { QWEN_STREAM_TIMEOUT: "2m", KIMI_STREAM_IDLE_TIMEOUT: "30" },
    file: {
      GLM_STREAM_TIMEOUT: "off",
      QWEN_STREAM_TIMEOUT: "9m",
      OPEN_AI_STREAM_IDLE_TIMEOUT: "5s",
      KIMI_STREAM_TIMEOUT_SECS: "240",
      EMPTY_STREAM_TIMEOUT: "",
    },
  };
  const reading = readConfig(sources, () => "");
  assert(reading.kind === "config");
  assertEquals(reading.config.providers, [
    { name: "GLM", total: Infinity, idle: Infinity },
    { name: "KIMI", total: 600_000, idle: 30_000 },
    { name: "QWEN", total: 120_000, idle: Infinity },
    { name: "OPEN_AI", total: Infinity, idle: 5_000 },
  ]);
  assertEquals(reading.warnings, []);
});

test("Config: a bad timeout is a problem for GLM and KIMI, and a warning for another provider", () => {
  for (const name of ["GLM_STREAM_TIMEOUT", "KIMI_STREAM_IDLE_TIMEOUT"]) {
    const env = { [name]: "soon" };
    const reading = readConfig({ args: [], env }, () => "");
    assert(reading.kind === "problems");
    assertMatch(
      reading.problems.join(),
      new RegExp(`^${name}: it is not a duration`),
    );
  }
  const env = { QWEN_STREAM_TIMEOUT: "-1" };
  const reading = readConfig({ args: [], env }, () => "");
  assert(reading.kind === "config");
  assertMatch(reading.warnings.join(), /^QWEN_STREAM_TIMEOUT: it is not a/);
  assertEquals(reading.config.providers.length, 2);
});
