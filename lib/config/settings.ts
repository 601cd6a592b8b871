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
  parseInteger,
  parseNonEmpty,
  parsePath,
  parsePort,
  parseSessionId,
  parseShortName,
  parseSize,
  parseToken,
  parseWebSocketUrl,
  type SettingParser,
} from "./parsers.ts";

/** One setting. */
export interface Setting<T> {
  /**
   * The flag without its dashes; `undefined` if a command line would expose a
   * secret.
   */
  readonly flag?: string;
  /** The environment variables; the first that is set counts. */
  readonly env: readonly string[];
  /** The default as a user would write it; `undefined` if there is none. */
  readonly default?: string;
  /** The placeholder for the value in `--help`. */
  readonly value: string;
  /** The description in `--help`. */
  readonly help: string;
  /**
   * Other programs use the variable, too. An invalid value is only a warning,
   * because it may be valid for them.
   */
  readonly isShared?: true;
  /** The flag may be repeated; the texts are joined by line breaks. */
  readonly isRepeatable?: true;
  /** Parses the text. */
  readonly parse: SettingParser<T>;
}

/**
 * Keeps the type of a setting, so that the compiler knows that one with a
 * default always has a value.
 */
function defineSetting<const S extends Setting<unknown>>(setting: S): S {
  return setting;
}

/** All settings, in the order of `--help`. */
export const SETTINGS = {
  url: defineSetting({
    flag: "url",
    env: ["ALWAYSUP_URL"],
    default: "ws://127.0.0.1:8079",
    value: "URL",
    help: "the daemon's WebSocket",
    parse: parseWebSocketUrl,
  }),
  host: defineSetting({
    env: ["EXAI_WS_HOST"],
    default: "127.0.0.1",
    value: "HOST",
    help: "where there is no URL: the exai daemon's host",
    parse: parseHost,
  }),
  port: defineSetting({
    env: ["EXAI_WS_PORT"],
    default: "8079",
    value: "PORT",
    help: "where there is no URL: the exai daemon's port",
    parse: parsePort,
  }),
  dialect: defineSetting({
    flag: "dialect",
    env: ["ALWAYSUP_DIALECT"],
    value: "NAME",
    help: "how the daemon speaks: mcp (the default with a URL) or exai",
    parse: oneOf("mcp", "exai"),
  }),
  tokenFile: defineSetting({
    flag: "token-file",
    env: ["ALWAYSUP_TOKEN_FILE"],
    value: "PATH",
    help: "file whose content is sent as bearer token (exai: in hello)",
    parse: parsePath,
  }),
  token: defineSetting({
    env: ["ALWAYSUP_TOKEN"],
    value: "TOKEN",
    help: "the token itself, where there is no file",
    parse: parseToken,
  }),
  exaiToken: defineSetting({
    env: ["EXAI_WS_TOKEN"],
    value: "TOKEN",
    help: "the same for an exai daemon only",
    parse: parseNonEmpty,
  }),
  headers: defineSetting({
    flag: "header",
    env: ["ALWAYSUP_HEADERS"],
    value: "'NAME: VALUE'",
    help: "header of the handshake; one a line in the environment, where " +
      "secret ones belong",
    isRepeatable: true,
    parse: parseHeaders,
  }),
  caFile: defineSetting({
    flag: "ca-file",
    env: ["ALWAYSUP_CA_FILE"],
    value: "PATH",
    help: "for wss://: PEM file of authorities that are trusted, too",
    parse: parsePath,
  }),
  backoffBase: defineSetting({
    flag: "backoff-base",
    env: ["ALWAYSUP_BACKOFF_BASE"],
    default: "250ms",
    value: "TIME",
    help: "pause after the first failed dial; doubles up to the cap",
    parse: parseDuration,
  }),
  backoffCap: defineSetting({
    flag: "backoff-cap",
    env: ["ALWAYSUP_BACKOFF_CAP"],
    default: "30s",
    value: "TIME",
    help: "longest pause between dials",
    parse: parseDuration,
  }),
  giveUpAfter: defineSetting({
    flag: "give-up-after",
    env: ["ALWAYSUP_GIVE_UP_AFTER"],
    default: "off",
    value: "TIME",
    help: "exit with 1 after so long without a daemon",
    parse: allowOff(parseDuration),
  }),
  handshakeTimeout: defineSetting({
    flag: "handshake-timeout",
    env: ["ALWAYSUP_HANDSHAKE_TIMEOUT", "EXAI_WS_HANDSHAKE_TIMEOUT"],
    default: "15s",
    value: "TIME",
    help: "for the WebSocket to open, and then for the daemon's first answer",
    parse: parseDuration,
  }),
  connections: defineSetting({
    flag: "connections",
    env: ["ALWAYSUP_CONNECTIONS"],
    default: "auto",
    value: "auto|one|many",
    help:
      "how many connections the daemon keeps for one client; auto: find out",
    parse: oneOf("auto", "one", "many"),
  }),
  pingInterval: defineSetting({
    flag: "ping-interval",
    env: ["ALWAYSUP_PING_INTERVAL"],
    default: "5s",
    value: "TIME",
    help: "silence after which a connection is probed",
    parse: allowOff(parseDuration),
  }),
  exaiPing: defineSetting({
    env: ["EXAI_WS_PING_INTERVAL"],
    value: "SECONDS",
    help: "0 or less switches probes off; anything else meant WebSocket pings",
    isShared: true,
    parse: parseFiniteNumber,
  }),
  pingTimeout: defineSetting({
    flag: "ping-timeout",
    env: ["ALWAYSUP_PING_TIMEOUT"],
    default: "5s",
    value: "TIME",
    help: "for the answer to a probe",
    parse: parseDuration,
  }),
  queueTimeout: defineSetting({
    flag: "queue-timeout",
    env: ["ALWAYSUP_QUEUE_TIMEOUT", "EXAI_WS_CONNECT_TIMEOUT"],
    default: "45s",
    value: "TIME",
    help: "how long a request waits for a daemon, over all outages",
    parse: allowOff(parseDuration),
  }),
  queueLimit: defineSetting({
    flag: "queue-limit",
    env: ["ALWAYSUP_QUEUE_LIMIT"],
    default: "1000",
    value: "COUNT",
    help: "how many messages may wait (and at most 64 MiB of them)",
    parse: allowOff(parseInteger),
  }),
  requestTimeout: defineSetting({
    flag: "request-timeout",
    env: ["ALWAYSUP_REQUEST_TIMEOUT"],
    default: "off",
    value: "TIME",
    help: "for the answer to a request, the time in the queue included",
    parse: allowOff(parseDuration),
  }),
  idleTimeout: defineSetting({
    flag: "idle-timeout",
    env: ["ALWAYSUP_IDLE_TIMEOUT"],
    default: "600s",
    value: "TIME",
    help: "for the answer to a written request, or progress on it",
    parse: allowOff(parseDuration),
  }),
  initializeGrace: defineSetting({
    flag: "initialize-grace",
    env: ["ALWAYSUP_INITIALIZE_GRACE"],
    default: "5s",
    value: "TIME",
    help: "before a client hears that the daemon is not up; off: never",
    parse: (text) => text === "off" ? Infinity : parseDurationOrZero(text),
  }),
  cache: defineSetting({
    flag: "cache",
    env: ["ALWAYSUP_CACHE"],
    default: "on",
    value: "on|off|PATH",
    help: "what the daemon said last, for a start without it: a file in your " +
      "state folder",
    parse: parsePath,
  }),
  status: defineSetting({
    flag: "status",
    env: ["ALWAYSUP_STATUS"],
    default: "on",
    value: "on|off",
    help: "a small file in your state folder, which `alwaysup status` reads",
    parse: oneOf("on", "off"),
  }),
  glmTotal: defineSetting({
    env: ["GLM_STREAM_TIMEOUT"],
    default: "300s",
    value: "TIME",
    help: "for a call that belongs to GLM, instead of --request-timeout",
    parse: allowOff(parseDuration),
  }),
  kimiTotal: defineSetting({
    env: ["KIMI_STREAM_TIMEOUT"],
    default: "600s",
    value: "TIME",
    help: "the same for Kimi; any <NAME>_STREAM_TIMEOUT does it for that name",
    parse: allowOff(parseDuration),
  }),
  glmIdle: defineSetting({
    env: ["GLM_STREAM_IDLE_TIMEOUT"],
    default: "off",
    value: "TIME",
    help: "for progress on a call that belongs to GLM, instead of " +
      "--idle-timeout",
    parse: allowOff(parseDuration),
  }),
  kimiIdle: defineSetting({
    env: ["KIMI_STREAM_IDLE_TIMEOUT"],
    default: "off",
    value: "TIME",
    help:
      "the same for Kimi; any <NAME>_STREAM_IDLE_TIMEOUT does it for that " +
      "name",
    parse: allowOff(parseDuration),
  }),
  waitProgress: defineSetting({
    flag: "wait-progress",
    env: ["ALWAYSUP_WAIT_PROGRESS"],
    default: "on",
    value: "on|off",
    help: "tell a client that asked for progress what its call waits for",
    parse: oneOf("on", "off"),
  }),
  retry: defineSetting({
    flag: "retry",
    env: ["ALWAYSUP_RETRY"],
    default: "safe",
    value: "POLICY",
    help: "what is written again after the connection was lost: safe, always " +
      "or never",
    parse: oneOf("safe", "always", "never"),
  }),
  maxMessage: defineSetting({
    flag: "max-message",
    env: ["ALWAYSUP_MAX_MESSAGE", "EXAI_WS_MAX_BYTES"],
    default: "32MiB",
    value: "SIZE",
    help: "largest message, either way",
    parse: allowOff(parseSize),
  }),
  toolOutput: defineSetting({
    flag: "tool-output",
    env: ["ALWAYSUP_TOOL_OUTPUT"],
    default: "clean",
    value: "STYLE",
    help: "exai: take progress, turn notice and summary off the output, or raw",
    parse: oneOf("clean", "raw"),
  }),
  ackGrace: defineSetting({
    env: ["EXAI_SHIM_ACK_GRACE_SECS"],
    default: "120s",
    value: "TIME",
    help: "exai: what is added to the time that the daemon allows a call",
    parse: parseDurationOrZero,
  }),
  sessionId: defineSetting({
    env: ["EXAI_SESSION_ID"],
    value: "NAME",
    help: "exai: the name of this client in hello; else a random one",
    isShared: true,
    parse: parseSessionId,
  }),
  serverName: defineSetting({
    env: ["MCP_SERVER_ID"],
    default: "alwaysup",
    value: "NAME",
    help: "exai: the server's name that the client sees",
    parse: parseShortName,
  }),
  healthFile: defineSetting({
    env: ["EXAI_WS_HEALTH_FILE"],
    value: "PATH",
    help: "exai: the daemon's health file, whose age is logged at a failure",
    parse: parsePath,
  }),
  skipHealth: defineSetting({
    env: ["EXAI_WS_SKIP_HEALTH_CHECK"],
    default: "false",
    value: "BOOLEAN",
    help: "exai: true leaves the health file alone",
    parse: parseBoolean,
  }),
  logLevel: defineSetting({
    flag: "log-level",
    env: ["LOG_LEVEL"],
    default: "info",
    value: "LEVEL",
    help: "debug, info, warn or error, on stderr",
    isShared: true,
    parse: oneOf("debug", "info", "warn", "error"),
  }),
  logFormat: defineSetting({
    flag: "log-format",
    env: ["LOG_FORMAT"],
    default: "text",
    value: "FORMAT",
    help: "text or json",
    isShared: true,
    parse: oneOf("text", "json"),
  }),
  envFile: defineSetting({
    flag: "env-file",
    env: ["ENV_FILE"],
    value: "PATH",
    help: "file of NAME=value lines; one that ENV_FILE names may be missing",
    parse: parsePath,
  }),
} as const;

/** The key of a setting. */
export type SettingKey = keyof typeof SETTINGS;

/** The values of all settings; `undefined` only without a default. */
export type SettingValues = {
  readonly [Key in SettingKey]:
    | ReturnType<typeof SETTINGS[Key]["parse"]>
    | (typeof SETTINGS[Key] extends { default: string } ? never : undefined);
};
