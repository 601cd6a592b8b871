/**
 * Writes `config/LOG.md` from the table of log events.
 *
 *     deno task settings
 *
 * @module
 */

import { code, formatTable } from "./settings_page.ts";
import { LOG_EVENTS } from "../../lib/telemetry/log_events.ts";

/** The URL of `config/LOG.md`. */
export const LOG_PAGE_FILE: URL = new URL(
  "../../config/LOG.md",
  import.meta.url,
);

const HEAD =
  `<!-- Written from lib/telemetry/log_events.ts by: deno task settings -->

# The log

\`alwaysup\` writes its log to stderr, which most clients show as the log of the server. \`--log-level\` sets the lowest
level, \`--log-format json\` writes one JSON object per line. With \`--log-to-client on\`, a client that has set a log level
(\`logging/setLevel\`), which the daemon has accepted, also gets warnings and errors as \`notifications/message\`.

With \`--log-file PATH\`, the same lines also go to a file, with the id of the process (\`pid\`), because several proxies may
share it; in lines of text, it is in \`alwaysup[PID]\`. At 10 MiB the file is renamed to \`PATH.1\`, and older ones to \`PATH.2\` up to \`PATH.4\`. Only you can read it. If it
cannot be written, stderr says why, and the proxy works without it.

No line contains a secret, or the body of a message. If a daemon or a client causes many lines of a kind, the first ten are
written, and then one per second that counts the others. That does not apply to \`message\` lines.

## Fields of a line in JSON

Every line has \`time\` (ISO 8601, in UTC), \`level\`, \`event\` and \`message\`. The event is one of the table below; the message
is for people, and its words may change. A line that counts others has \`more\`, their number. Some events have more fields;
durations are in milliseconds:

`;

/** The fields of the events that have more than the common ones. */
const FIELDS = [
  [
    "`connected`, `reconnected`",
    "`attempts`, `downMs`: how long the daemon was needed, and not connected",
  ],
  [
    "`lost`, `displaced`",
    "`cause`, `reason`, `failedRequests`, `readyMs`: how long the connection was ready",
  ],
  ["`attempt-failed`", "`attempt`, `reason`"],
  [
    "`request-failed`",
    "`method`, `name` of the tool or prompt, `code` and `reason` of the error",
  ],
  ["`request-repeated`", "`method`, `name`"],
  ["`circuit`", "`state`: `closed`, `open` or `half-open`"],
  [
    "`message`",
    "`direction`, `kind`, `method`, `id`, `error`, `bytes`, `connectionId`, `ms` since its request was received or sent",
  ],
];

const MIDDLE = `

\`cause\` is one of \`closed\` (by the daemon), \`aborted\` (no close frame), \`timeout\` (the daemon did not answer), \`refused\`,
\`displaced\` (by another client), \`too-large\` (a message), \`second-connection\` (of alwaysup itself) and \`stdout-full\` (the
client does not read).

\`--log-level debug\` writes a \`message\` line for every message. \`direction\` is \`from-client\`, \`to-client\`, \`from-daemon\` or
\`to-daemon\`. \`kind\` is \`request\`, \`response\`, \`notification\`, \`frame\` (of an EX-AI daemon, with its \`op\` as \`method\`),
\`invalid message\`, or \`message\` if it was not read. \`id\` is JSON text.

## Events

This list is complete.

`;

/** Returns the text of the page. */
export function logPageText(): string {
  const rows = Object.entries(LOG_EVENTS)
    .map(([name, text]) => [code(name), text]);
  return HEAD + formatTable([["Event", "Fields"], ...FIELDS]) + MIDDLE +
    `${formatTable([["Event", "What it reports"], ...rows])}\n`;
}

if (import.meta.main) await Deno.writeTextFile(LOG_PAGE_FILE, logPageText());
