/**
 * The table of settings: the name, sources, format, default and description of
 * each. The modules in `lib/config/` turn flags, environment variables and
 * `.env` files into one configuration. Help, completions, the manual page,
 * `config/README.md` and `config/env.example` are generated from this table.
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
  parseMetrics,
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

/** The groups of settings, in the order of the help. */
export const SETTING_GROUPS = [
  "Daemon",
  "Reconnecting",
  "Requests",
  "Time limits by provider",
  "Files",
  "Logging",
  "Metrics",
  "EX-AI daemon",
] as const;

/** One setting. */
export interface Setting {
  /** The heading under which the help lists the setting. */
  readonly group: typeof SETTING_GROUPS[number];
  /** The flag without dashes; `undefined` if only variables set the setting. */
  readonly flag?: string;
  /** The environment variables; the first one that is set counts. */
  readonly env: readonly string[];
  /** The default as a user would write it; `undefined` if there is none. */
  readonly default?: string;
  /**
   * The placeholder for the value in the help. Lower-case words that are
   * separated by `|` are choices.
   */
  readonly value: string;
  /** The description in the help: one or more sentences. */
  readonly help: string;
  /** True if other programs use the variable: a bad value is only a warning. */
  readonly isShared?: true;
  /** True if the flag may be repeated; line breaks join the texts. */
  readonly isRepeatable?: true;
  /** Parses the text. Throws a `SettingError` for an invalid text. */
  readonly parse: SettingParser<unknown>;
}

/** A setting with a flag, whose first variable is named like the flag. */
interface FlagSetting extends Omit<Setting, "flag" | "env"> {
  /** Further variables, in order of precedence. */
  readonly otherEnv?: readonly string[];
}

/**
 * Returns a row with its flag and its variables. Keeps the exact type of the
 * row: if the row has a default, the type of its value excludes `undefined`.
 */
function flagSetting<const Row extends FlagSetting>(
  flag: string,
  row: Row,
): Row & { readonly flag: string; readonly env: readonly string[] } {
  const variable = `ALWAYSUP_${flag.toUpperCase().replaceAll("-", "_")}`;
  return { ...row, flag, env: [variable, ...row.otherEnv ?? []] };
}

const DURATION = { value: "TIME", parse: parseDuration } as const;
const LIMIT = { value: "TIME|off", parse: allowOff(parseDuration) } as const;
const PATH = { value: "PATH", parse: parsePath } as const;
const ON_OFF = { value: "on|off", parse: oneOf("on", "off") } as const;

/** All settings. Problems are reported in this order. */
export const SETTINGS = {
  url: flagSetting("url", {
    group: "Daemon",
    default: "ws://127.0.0.1:8079",
    value: "URL",
    help: "Address of the daemon's WebSocket, ws:// or wss://.",
    parse: parseWebSocketUrl,
  }),
  host: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_HOST"],
    default: "127.0.0.1",
    value: "HOST",
    help: "Host of the EX-AI daemon, if no URL is set.",
    parse: parseHost,
  },
  port: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_PORT"],
    default: "8079",
    value: "PORT",
    help: "Port of the EX-AI daemon, if no URL is set.",
    parse: wholeNumber("port", 65_535),
  },
  dialect: flagSetting("dialect", {
    group: "Daemon",
    value: "mcp|exai",
    help: "Protocol of the daemon. Default: mcp if a URL is set, else exai.",
    parse: oneOf("mcp", "exai"),
  }),
  tokenFile: flagSetting("token-file", {
    group: "Daemon",
    ...PATH,
    help:
      "File with the token. The token is sent as a bearer token, or in hello " +
      "if the daemon is an EX-AI daemon.",
  }),
  token: {
    group: "Daemon",
    env: ["ALWAYSUP_TOKEN"],
    value: "TOKEN",
    help: "The token itself, if there is no token file.",
    parse: parseToken,
  },
  exaiToken: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_TOKEN"],
    value: "TOKEN",
    help: "The token, for an EX-AI daemon only.",
    parse: parseNonEmpty,
  },
  headers: {
    group: "Daemon",
    flag: "header",
    env: ["ALWAYSUP_HEADERS"],
    value: "'NAME: VALUE'",
    help:
      "HTTP header of the WebSocket handshake. Put secret headers into the variable, one per line.",
    isRepeatable: true,
    parse: parseHeaders,
  },
  caFile: flagSetting("ca-file", {
    group: "Daemon",
    ...PATH,
    help: "PEM file with further certificate authorities to trust for wss://.",
  }),
  backoffBase: flagSetting("backoff-base", {
    group: "Reconnecting",
    default: "250ms",
    ...DURATION,
    help:
      "Pause after the first failed attempt to connect. It doubles up to the cap.",
  }),
  backoffCap: flagSetting("backoff-cap", {
    group: "Reconnecting",
    default: "30s",
    ...DURATION,
    help: "Longest pause between attempts.",
  }),
  giveUpAfter: flagSetting("give-up-after", {
    group: "Reconnecting",
    default: "off",
    ...LIMIT,
    help: "Exit with code 1 after this time without a daemon.",
  }),
  handshakeTimeout: flagSetting("handshake-timeout", {
    group: "Reconnecting",
    otherEnv: ["EXAI_WS_HANDSHAKE_TIMEOUT"],
    default: "15s",
    ...DURATION,
    help:
      "Time limit for the WebSocket to open, and again for the daemon's first answer.",
  }),
  connections: flagSetting("connections", {
    group: "Daemon",
    default: "auto",
    value: "auto|one|many",
    help:
      "How many connections the daemon keeps for one client. auto finds out.",
    parse: oneOf("auto", "one", "many"),
  }),
  pingInterval: flagSetting("ping-interval", {
    group: "Reconnecting",
    default: "5s",
    ...LIMIT,
    help:
      "Silence after which the proxy probes the connection. off disables probes.",
  }),
  exaiPing: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_PING_INTERVAL"],
    value: "SECONDS",
    help: "0 or less disables probes. Other values are ignored.",
    isShared: true,
    parse: parseFiniteNumber,
  },
  pingTimeout: flagSetting("ping-timeout", {
    group: "Reconnecting",
    default: "5s",
    ...DURATION,
    help: "Time limit for the answer to a probe.",
  }),
  queueTimeout: flagSetting("queue-timeout", {
    group: "Requests",
    otherEnv: ["EXAI_WS_CONNECT_TIMEOUT"],
    default: "45s",
    ...LIMIT,
    help:
      "Longest time that a request waits for a daemon, in all outages together.",
  }),
  queueLimit: flagSetting("queue-limit", {
    group: "Requests",
    default: "1000",
    value: "COUNT|off",
    help:
      "How many messages may wait for a daemon, with 64 MiB in total at most.",
    parse: allowOff(wholeNumber("whole number", 1_000_000)),
  }),
  requestTimeout: flagSetting("request-timeout", {
    group: "Requests",
    default: "off",
    ...LIMIT,
    help:
      "Time limit for the answer to a request, including the time in the queue.",
  }),
  idleTimeout: flagSetting("idle-timeout", {
    group: "Requests",
    default: "600s",
    ...LIMIT,
    help: "Time limit for the next sign of progress on a sent request.",
  }),
  initializeGrace: flagSetting("initialize-grace", {
    group: "Requests",
    default: "5s",
    value: "TIME|off",
    help: "How long a client waits at its start before the proxy answers in " +
      "place of the daemon. off: for ever. 0: not at all.",
    parse: (text) => text === "off" ? Infinity : parseDurationOrZero(text),
  }),
  cache: flagSetting("cache", {
    group: "Files",
    default: "on",
    value: "on|off|PATH",
    help:
      "File with the daemon's last results, for starts without the daemon. on: a file in your state folder.",
    parse: parsePath,
  }),
  status: flagSetting("status", {
    group: "Files",
    default: "on",
    ...ON_OFF,
    help: "Write the small file that `alwaysup status` reads.",
  }),
  glmTotal: {
    group: "Time limits by provider",
    env: ["GLM_STREAM_TIMEOUT"],
    default: "300s",
    ...LIMIT,
    help:
      "Time limit for a call that belongs to GLM. It replaces --request-timeout.",
  },
  kimiTotal: {
    group: "Time limits by provider",
    env: ["KIMI_STREAM_TIMEOUT"],
    default: "600s",
    ...LIMIT,
    help:
      "Time limit for a call that belongs to Kimi. <NAME>_STREAM_TIMEOUT is the limit of any other provider.",
  },
  glmIdle: {
    group: "Time limits by provider",
    env: ["GLM_STREAM_IDLE_TIMEOUT"],
    default: "off",
    ...LIMIT,
    help:
      "Time limit for the next sign of progress on a call that belongs to GLM. It replaces --idle-timeout.",
  },
  kimiIdle: {
    group: "Time limits by provider",
    env: ["KIMI_STREAM_IDLE_TIMEOUT"],
    default: "off",
    ...LIMIT,
    help:
      "Time limit for the next sign of progress on a call that belongs to Kimi. <NAME>_STREAM_IDLE_TIMEOUT is the limit of any other provider.",
  },
  waitProgress: flagSetting("wait-progress", {
    group: "Requests",
    default: "on",
    ...ON_OFF,
    help:
      "Send progress notifications for a call that waits, if the client asked for progress.",
  }),
  retry: flagSetting("retry", {
    group: "Requests",
    default: "safe",
    value: "safe|always|never",
    help:
      "What is sent again after a lost connection: only safe requests, all, or none.",
    parse: oneOf("safe", "always", "never"),
  }),
  maxMessage: flagSetting("max-message", {
    group: "Requests",
    otherEnv: ["EXAI_WS_MAX_BYTES"],
    default: "32MiB",
    value: "SIZE|off",
    help: "Largest message in either direction.",
    parse: allowOff(parseSize),
  }),
  toolOutput: flagSetting("tool-output", {
    group: "EX-AI daemon",
    default: "clean",
    value: "clean|raw",
    help: "Remove progress, the AGENT'S TURN notice and the summary from the " +
      "output of tools (clean), or keep them (raw).",
    parse: oneOf("clean", "raw"),
  }),
  ackGrace: {
    group: "EX-AI daemon",
    env: ["EXAI_SHIM_ACK_GRACE_SECS"],
    default: "120s",
    value: "TIME",
    help: "Time that is added to the daemon's own limit for a call.",
    parse: parseDurationOrZero,
  },
  sessionId: {
    group: "EX-AI daemon",
    env: ["EXAI_SESSION_ID"],
    value: "NAME",
    help:
      "Name of this client in hello. Each connection adds random characters.",
    isShared: true,
    parse: parseSessionId,
  },
  serverName: {
    group: "EX-AI daemon",
    env: ["MCP_SERVER_ID"],
    default: "alwaysup",
    value: "NAME",
    help: "Server name that the client sees.",
    parse: parseShortName,
  },
  healthFile: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_HEALTH_FILE"],
    ...PATH,
    help:
      "The daemon's health file. The log shows its age after a failed attempt.",
  },
  skipHealth: {
    group: "EX-AI daemon",
    env: ["EXAI_WS_SKIP_HEALTH_CHECK"],
    default: "false",
    value: "true|false",
    help: "Ignore the health file.",
    parse: parseBoolean,
  },
  logLevel: {
    group: "Logging",
    flag: "log-level",
    env: ["LOG_LEVEL"],
    default: "info",
    value: "debug|info|warn|error",
    help: "Lowest level of log lines, on stderr and in the log file.",
    isShared: true,
    parse: oneOf("debug", "info", "warn", "error"),
  },
  logFormat: {
    group: "Logging",
    flag: "log-format",
    env: ["LOG_FORMAT"],
    default: "text",
    value: "text|json",
    help: "Format of log lines.",
    isShared: true,
    parse: oneOf("text", "json"),
  },
  logFile: flagSetting("log-file", {
    group: "Logging",
    ...PATH,
    help:
      "File that gets the log lines, too. At 10 MiB it is renamed to PATH.1, and older ones to PATH.2 up to PATH.4. Several proxies may share it.",
  }),
  logToClient: flagSetting("log-to-client", {
    group: "Logging",
    default: "off",
    ...ON_OFF,
    help:
      "Also send warnings and errors, as notifications/message, to a client that has set a log level.",
  }),
  metrics: flagSetting("metrics", {
    group: "Metrics",
    default: "off",
    value: "off|on|ADDRESS",
    help:
      "Count messages, and measure requests. on: for `alwaysup status --prometheus`. ADDRESS, such as 127.0.0.1:9464: also serve all metrics there over HTTP; port 0 picks a free one.",
    parse: parseMetrics,
  }),
  envFile: {
    group: "Files",
    flag: "env-file",
    env: ["ENV_FILE"],
    ...PATH,
    help:
      "File of NAME=value lines with settings. If ENV_FILE names it, it may be missing.",
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
