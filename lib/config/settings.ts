/**
 * The table of settings: the sources, the form and the default of each.
 *
 * @module
 */

import {
  allowOff,
  oneOf,
  parseBoolean,
  parseDuration,
  parseDurationOrZero,
  parseFiniteNumber,
  parseHeaders,
  parseHost,
  parseNonEmpty,
  parsePath,
  parseSessionId,
  parseShortName,
  parseSize,
  parseToken,
  parseWebSocketUrl,
  type SettingParser,
  wholeNumber,
} from "./parsers.ts";

/** One setting. */
export interface Setting {
  /** The flag without dashes; none if a command line would show a secret. */
  readonly flag?: string;
  /** The environment variables; the first that is set counts. */
  readonly env: readonly string[];
  /** The default as a user would write it; `undefined` if there is none. */
  readonly default?: string;
  /** The placeholder for the value in `--help`. */
  readonly value: string;
  /** The description in `--help`. */
  readonly help: string;
  /** Other programs use it, too: an invalid value is only a warning. */
  readonly isShared?: true;
  /** The flag may be repeated; the texts are joined by line breaks. */
  readonly isRepeatable?: true;
  /** Parses the text. */
  readonly parse: SettingParser<unknown>;
}

/** A setting with a flag, whose first variable is named like the flag. */
interface FlagSetting extends Omit<Setting, "flag" | "env"> {
  /** The variables after the first. */
  readonly otherEnv?: readonly string[];
}

/** Keeps the type of a row, so that one with a default always has a value. */
function flagSetting<const Row extends FlagSetting>(
  flag: string,
  row: Row,
): Row & { readonly flag: string; readonly env: readonly string[] } {
  const variable = `ALWAYSUP_${flag.toUpperCase().replaceAll("-", "_")}`;
  return { ...row, flag, env: [variable, ...row.otherEnv ?? []] };
}

const DURATION = { value: "TIME", parse: parseDuration } as const;
const LIMIT = { value: "TIME", parse: allowOff(parseDuration) } as const;
const PATH = { value: "PATH", parse: parsePath } as const;
const ON_OFF = { value: "on|off", parse: oneOf("on", "off") } as const;

/** All settings, in the order of `--help`. */
export const SETTINGS = {
  url: flagSetting("url", {
    default: "ws://127.0.0.1:8079",
    value: "URL",
    help: "the daemon's WebSocket",
    parse: parseWebSocketUrl,
  }),
  host: {
    env: ["EXAI_WS_HOST"],
    default: "127.0.0.1",
    value: "HOST",
    help: "where there is no URL: the exai daemon's host",
    parse: parseHost,
  },
  port: {
    env: ["EXAI_WS_PORT"],
    default: "8079",
    value: "PORT",
    help: "where there is no URL: the exai daemon's port",
    parse: wholeNumber("port", 65_535),
  },
  dialect: flagSetting("dialect", {
    value: "NAME",
    help: "how the daemon speaks: mcp (the default with a URL) or exai",
    parse: oneOf("mcp", "exai"),
  }),
  tokenFile: flagSetting("token-file", {
    ...PATH,
    help: "file whose content is sent as bearer token (exai: in hello)",
  }),
  token: {
    env: ["ALWAYSUP_TOKEN"],
    value: "TOKEN",
    help: "the token itself, where there is no file",
    parse: parseToken,
  },
  exaiToken: {
    env: ["EXAI_WS_TOKEN"],
    value: "TOKEN",
    help: "the same for an exai daemon only",
    parse: parseNonEmpty,
  },
  headers: {
    flag: "header",
    env: ["ALWAYSUP_HEADERS"],
    value: "'NAME: VALUE'",
    help: "header of the handshake; one a line in the environment, where " +
      "secret ones belong",
    isRepeatable: true,
    parse: parseHeaders,
  },
  caFile: flagSetting("ca-file", {
    ...PATH,
    help: "for wss://: PEM file of authorities that are trusted, too",
  }),
  backoffBase: flagSetting("backoff-base", {
    default: "250ms",
    ...DURATION,
    help: "pause after the first failed dial; doubles up to the cap",
  }),
  backoffCap: flagSetting("backoff-cap", {
    default: "30s",
    ...DURATION,
    help: "longest pause between dials",
  }),
  giveUpAfter: flagSetting("give-up-after", {
    default: "off",
    ...LIMIT,
    help: "exit with 1 after so long without a daemon",
  }),
  handshakeTimeout: flagSetting("handshake-timeout", {
    otherEnv: ["EXAI_WS_HANDSHAKE_TIMEOUT"],
    default: "15s",
    ...DURATION,
    help: "for the WebSocket to open, and then for the daemon's first answer",
  }),
  connections: flagSetting("connections", {
    default: "auto",
    value: "auto|one|many",
    help:
      "how many connections the daemon keeps for one client; auto: find out",
    parse: oneOf("auto", "one", "many"),
  }),
  pingInterval: flagSetting("ping-interval", {
    default: "5s",
    ...LIMIT,
    help: "silence after which a connection is probed",
  }),
  exaiPing: {
    env: ["EXAI_WS_PING_INTERVAL"],
    value: "SECONDS",
    help: "0 or less switches probes off; anything else meant WebSocket pings",
    isShared: true,
    parse: parseFiniteNumber,
  },
  pingTimeout: flagSetting("ping-timeout", {
    default: "5s",
    ...DURATION,
    help: "for the answer to a probe",
  }),
  queueTimeout: flagSetting("queue-timeout", {
    otherEnv: ["EXAI_WS_CONNECT_TIMEOUT"],
    default: "45s",
    ...LIMIT,
    help: "how long a request waits for a daemon, over all outages",
  }),
  queueLimit: flagSetting("queue-limit", {
    default: "1000",
    value: "COUNT",
    help: "how many messages may wait (and at most 64 MiB of them)",
    parse: allowOff(wholeNumber("whole number", 1_000_000)),
  }),
  requestTimeout: flagSetting("request-timeout", {
    default: "off",
    ...LIMIT,
    help: "for the answer to a request, the time in the queue included",
  }),
  idleTimeout: flagSetting("idle-timeout", {
    default: "600s",
    ...LIMIT,
    help: "for the answer to a written request, or progress on it",
  }),
  initializeGrace: flagSetting("initialize-grace", {
    default: "5s",
    value: "TIME",
    help: "before a client hears that the daemon is not up; off: never",
    parse: (text) => text === "off" ? Infinity : parseDurationOrZero(text),
  }),
  cache: flagSetting("cache", {
    default: "on",
    value: "on|off|PATH",
    help: "what the daemon said last, for a start without it: a file in your " +
      "state folder",
    parse: parsePath,
  }),
  status: flagSetting("status", {
    default: "on",
    ...ON_OFF,
    help: "a small file in your state folder, which `alwaysup status` reads",
  }),
  glmTotal: {
    env: ["GLM_STREAM_TIMEOUT"],
    default: "300s",
    ...LIMIT,
    help: "for a call that belongs to GLM, instead of --request-timeout",
  },
  kimiTotal: {
    env: ["KIMI_STREAM_TIMEOUT"],
    default: "600s",
    ...LIMIT,
    help: "the same for Kimi; any <NAME>_STREAM_TIMEOUT does it for that name",
  },
  glmIdle: {
    env: ["GLM_STREAM_IDLE_TIMEOUT"],
    default: "off",
    ...LIMIT,
    help: "for progress on a call that belongs to GLM, instead of " +
      "--idle-timeout",
  },
  kimiIdle: {
    env: ["KIMI_STREAM_IDLE_TIMEOUT"],
    default: "off",
    ...LIMIT,
    help:
      "the same for Kimi; any <NAME>_STREAM_IDLE_TIMEOUT does it for that " +
      "name",
  },
  waitProgress: flagSetting("wait-progress", {
    default: "on",
    ...ON_OFF,
    help: "tell a client that asked for progress what its call waits for",
  }),
  retry: flagSetting("retry", {
    default: "safe",
    value: "POLICY",
    help: "what is written again after the connection was lost: safe, always " +
      "or never",
    parse: oneOf("safe", "always", "never"),
  }),
  maxMessage: flagSetting("max-message", {
    otherEnv: ["EXAI_WS_MAX_BYTES"],
    default: "32MiB",
    value: "SIZE",
    help: "largest message, either way",
    parse: allowOff(parseSize),
  }),
  toolOutput: flagSetting("tool-output", {
    default: "clean",
    value: "STYLE",
    help: "exai: take progress, turn notice and summary off the output, or raw",
    parse: oneOf("clean", "raw"),
  }),
  ackGrace: {
    env: ["EXAI_SHIM_ACK_GRACE_SECS"],
    default: "120s",
    value: "TIME",
    help: "exai: what is added to the time that the daemon allows a call",
    parse: parseDurationOrZero,
  },
  sessionId: {
    env: ["EXAI_SESSION_ID"],
    value: "NAME",
    help: "exai: the name of this client in hello; else a random one",
    isShared: true,
    parse: parseSessionId,
  },
  serverName: {
    env: ["MCP_SERVER_ID"],
    default: "alwaysup",
    value: "NAME",
    help: "exai: the server's name that the client sees",
    parse: parseShortName,
  },
  healthFile: {
    env: ["EXAI_WS_HEALTH_FILE"],
    ...PATH,
    help: "exai: the daemon's health file, whose age is logged at a failure",
  },
  skipHealth: {
    env: ["EXAI_WS_SKIP_HEALTH_CHECK"],
    default: "false",
    value: "BOOLEAN",
    help: "exai: true leaves the health file alone",
    parse: parseBoolean,
  },
  logLevel: {
    flag: "log-level",
    env: ["LOG_LEVEL"],
    default: "info",
    value: "LEVEL",
    help: "debug, info, warn or error, on stderr",
    isShared: true,
    parse: oneOf("debug", "info", "warn", "error"),
  },
  logFormat: {
    flag: "log-format",
    env: ["LOG_FORMAT"],
    default: "text",
    value: "FORMAT",
    help: "text or json",
    isShared: true,
    parse: oneOf("text", "json"),
  },
  envFile: {
    flag: "env-file",
    env: ["ENV_FILE"],
    ...PATH,
    help: "file of NAME=value lines; one that ENV_FILE names may be missing",
  },
} as const;

/** The key of a setting. */
export type SettingKey = keyof typeof SETTINGS;

/** The values of all settings; `undefined` only without a default. */
export type SettingValues = {
  readonly [Key in SettingKey]:
    | ReturnType<typeof SETTINGS[Key]["parse"]>
    | (typeof SETTINGS[Key] extends { default: string } ? never : undefined);
};
