/**
 * A fake of the exai daemon, with the defects of the real one. The heartbeat of
 * the revision `first` (0528064) kills the tool and the connection. The errors
 * of the revision `head` (e50ef4f) name no request.
 *
 *     deno run -A tests/daemons/exai_daemon.ts --port 0 --journal FILE
 *
 * A path in the URL names one of the forms of
 * `tests/helpers/forms/exai_forms.ts`. Durations are in milliseconds, except
 * `--call-timeout` and `--retry-after`, which the protocol has in seconds.
 *
 * @module
 */

import {
  type ExaiConnection,
  flags,
  isHead,
  respond,
  running,
  send,
  sessions,
  setting,
  writeJournal,
} from "./exai_revisions.ts";
import { isRecord } from "./exai_tools.ts";
import { exaiFrameWriter } from "../helpers/forms/exai_forms.ts";
import { print } from "../helpers/print.ts";
import { exitWithParent } from "../helpers/exit_with_parent.ts";
import { waitAtMost } from "../../lib/runtime/timeout.ts";

const HELLO_TIMEOUT_MS = 15_000;
const maxConnections = setting("per-ip", isHead ? 10 : Infinity);
const openConnections = new Set<ExaiConnection>();
let socketCount = 0;

/** Returns the value of a JSON text; `undefined` if it is invalid. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

void exitWithParent();

function accept(socket: WebSocket, path: string): void {
  socket.binaryType = "arraybuffer";
  const number = ++socketCount;
  const stream = new ReadableStream<string>({
    start(controller): void {
      socket.onmessage = ({ data }) => {
        const isText = typeof data === "string";
        controller.enqueue(isText ? data : new TextDecoder().decode(data));
      };
      socket.onclose = ({ code, reason }) => {
        openConnections.delete(link);
        writeJournal("close", { socket: number, code, reason });
        controller.close();
      };
      socket.onerror = () => {};
    },
  });
  const frames = stream.getReader();
  const toFrames = path === "" ? undefined : exaiFrameWriter(path);
  const link: ExaiConnection = {
    number,
    socket,
    frames,
    isHandlerDead: false,
    toFrames,
  };
  // All clients of a test have one address, so this limit counts all of them.
  const isTooMany = openConnections.size >= maxConnections;
  openConnections.add(link);
  socket.onopen = () => {
    if (isTooMany) socket.close(1008, "Connection limit exceeded");
    else void serveConnection(link);
  };
}

/** Performs the handshake, then handles one frame after another. */
async function serveConnection(link: ExaiConnection): Promise<void> {
  if (!await performHandshake(link)) return;
  while (!link.isHandlerDead) {
    const { value, done } = await link.frames.read();
    if (done) break;
    const message = parse(value);
    const { op = null, request_id = null } = isRecord(message) ? message : {};
    writeJournal("frame", { socket: link.number, op, request_id });
    await respond(link, message);
  }
  sessions.delete(link);
}

async function performHandshake(link: ExaiConnection): Promise<boolean> {
  const { number, socket } = link;
  const refuse = (error: string, code: number, reason: string): false => {
    writeJournal("hello", {
      socket: number,
      ok: false,
      error: error || reason || "silent",
    });
    if (error) send(link, { op: "hello_ack", ok: false, error });
    if (reason) socket.close(code, reason);
    else socket.close(code);
    return false;
  };
  const first = await waitAtMost(HELLO_TIMEOUT_MS, link.frames.read());
  if (first?.done) return false;
  if (!first?.value) return refuse("", 4002, "hello timeout or disconnect");
  const hello = parse(first.value);
  if (hello === undefined) {
    if (isHead) return refuse("", 4000, "invalid message");
    return refuse("invalid_hello", 4000, "invalid hello");
  }
  // The real daemon raises an exception here. Its WebSocket library then closes
  // the connection without a reason.
  if (!isRecord(hello)) return refuse("", 1000, "");
  if (hello.op !== "hello") {
    if (isHead) return refuse("", 4001, "unrecognized protocol");
    return refuse("missing_hello", 4001, "missing hello");
  }
  const { token = "", session_id } = hello;
  if (flags.token) {
    if (typeof token !== "string") return refuse("", 1000, "");
    if (token !== flags.token) {
      return refuse("unauthorized", 4003, "unauthorized");
    }
  }
  if (sessions.size >= setting("sessions", 100)) return refuse("", 1000, "");
  const isKept = isHead && /^[\w-]{3,64}$/.test(String(session_id ?? ""));
  const session = isKept ? session_id : crypto.randomUUID();
  writeJournal("hello", { socket: number, ok: true, session_id: session });
  send(link, { op: "hello_ack", ok: true, session_id: session });
  sessions.add(link);
  return true;
}

/** Closes all connections at once, but exits only when no tool runs. */
function shutDown(): void {
  for (const { socket } of openConnections) {
    if (socket.readyState === WebSocket.OPEN) socket.close(1001);
  }
  void server.shutdown();
  setInterval(() => {
    if (running === 0) Deno.exit(0);
  }, 20);
}

const server = Deno.serve({
  port: setting("port", 8079),
  hostname: "127.0.0.1",
  onListen: ({ port }) => print(`listening on ${port}`),
}, (request) => {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response("WebSockets only\n", { status: 426 });
  }
  const upgrade = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  const { pathname } = new URL(request.url);
  accept(upgrade.socket, decodeURIComponent(pathname.slice(1)));
  return upgrade.response;
});
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.addSignalListener(signal, shutDown);
}
