/**
 * A TCP relay in front of a running daemon, in its own process. It can fail in
 * every way in which a daemon, or a server in front of it, can fail.
 * `class FaultyRelay` starts it.
 *
 *     deno run -A tests/daemons/faulty_relay.ts PORT PORT-OF-THE-DAEMON
 *
 * Reads one command per line: the name of a fault, or `none`. Prints
 * `done NAME` once the command has taken effect, and `dial` for every
 * connection of a client.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import net, { type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { print } from "../helpers/print.ts";

const [port, daemonPort] = Deno.args.map(Number) as [number, number];
const host = "127.0.0.1";
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** The interval in which the relay sends garbage, in milliseconds. */
const GARBAGE_INTERVAL_MS = 200;
/**
 * How long the relay waits for the client's close frame after its own, in
 * milliseconds.
 */
const CLOSE_TIMEOUT_MS = 1_000;

/** The client's connections to the daemon, and those that get garbage. */
const relayed = new Set<Socket>();
const garbageSockets = new Set<Socket>();
let fault = "none";

function textFrame(text: string): Buffer {
  const body = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, body.length]), body]);
}

function closeFrame(code: number): Buffer {
  return Buffer.from([0x88, 2, code >> 8, code & 0xff]);
}

/**
 * Sends a close frame. Ends the connection once the client has responded, or
 * after `CLOSE_TIMEOUT_MS`.
 */
function closeWith(clientSide: Socket, code: number): void {
  clientSide.end(closeFrame(code));
  const timer = setTimeout(() => clientSide.destroy(), CLOSE_TIMEOUT_MS);
  clientSide.once("close", () => clearTimeout(timer));
}

/**
 * Relays a connection from its first bytes on. A connection that sends nothing
 * is not a dial.
 */
function relay(clientSide: Socket): void {
  clientSide.once("data", (first: Buffer) => {
    print("dial");
    const serverSide = net.connect({ port: daemonPort, host });
    relayed.add(clientSide);
    serverSide.write(first);
    clientSide.pipe(serverSide).pipe(clientSide);
    serverSide.on("error", () => clientSide.destroy());
    serverSide.on("close", () => clientSide.destroy());
    clientSide.on("close", () => {
      relayed.delete(clientSide);
      serverSide.destroy();
    });
  });
}

/** Accepts the client's HTTP request as a WebSocket, then calls `opened`. */
function upgrade(clientSide: Socket, opened: () => void): void {
  let head = "";
  const read = (chunk: Buffer): void => {
    head += chunk.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    clientSide.off("data", read);
    clientSide.resume();
    const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? "";
    const offered = /^sec-websocket-protocol: *([^,\r]+)/im.exec(head)?.[1];
    const accept = createHash("sha1").update(key + WEBSOCKET_GUID).digest(
      "base64",
    );
    clientSide.write([
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept}`,
      ...(offered === undefined ? [] : [`Sec-WebSocket-Protocol: ${offered}`]),
      "\r\n",
    ].join("\r\n"));
    opened();
  };
  clientSide.on("data", read);
}

/** Sends garbage repeatedly until the connection is closed. */
function sendGarbage(clientSide: Socket, garbage: string | Buffer): void {
  garbageSockets.add(clientSide);
  clientSide.write(garbage);
  const timer = setInterval(
    () => clientSide.write(garbage),
    GARBAGE_INTERVAL_MS,
  );
  clientSide.once("close", () => {
    clearInterval(timer);
    garbageSockets.delete(clientSide);
  });
}

function accept(clientSide: Socket): void {
  clientSide.on("error", () => {});
  // During `syn-drop`, this process is stopped and accepts nothing.
  if (fault === "none" || fault === "syn-drop") return relay(clientSide);
  print("dial");
  switch (fault) {
    case "rst":
      return void clientSide.resetAndDestroy();
    case "accept-close":
      return void clientSide.destroy();
    case "garbage":
      clientSide.resume();
      return sendGarbage(clientSide, "\x16\x03?? no HTTP at all\r\n\r\n");
    case "garbage-ws":
      return upgrade(
        clientSide,
        () => sendGarbage(clientSide, textFrame("}{ no message")),
      );
    case "1013":
      return upgrade(clientSide, () => closeWith(clientSide, 1013));
    case "silent-ws":
      return upgrade(clientSide, () => {});
    case "silent-tcp":
      return void clientSide.resume();
  }
}

/** Begins a fault, which ends the existing connections and affects new ones. */
function beginFault(name: string): void {
  fault = name;
  for (const clientSide of relayed) {
    if (name === "close") closeWith(clientSide, 1001);
    else if (name === "1013") closeWith(clientSide, 1013);
    else if (name === "accept-close" || name.startsWith("garbage")) {
      clientSide.destroy();
    } else clientSide.resetAndDestroy();
  }
  const done = (): void => print(`done ${name}`);
  if (name !== "close") return done();
  // Does not wait until the connections have ended.
  server.close();
  done();
}

/** Relays new connections from now on. Silent connections stay silent. */
function endFault(): void {
  const isClosed = fault === "close";
  fault = "none";
  for (const clientSide of garbageSockets) clientSide.destroy();
  const done = (): void => print("done none");
  if (isClosed) listen(done);
  else done();
}

function listen(then: () => void): void {
  server = net.createServer(accept);
  // Two connections fill this short queue (see `class FaultyRelay`).
  server.listen({ port, host, backlog: 1 }, then);
}

let server: net.Server;
listen(() => print(`listening ${port}`));
const lines = createInterface({ input: process.stdin });
lines.on(
  "line",
  (name: string) => name === "none" ? endFault() : beginFault(name),
);
// The relay must not outlive its parent.
lines.on("close", () => Deno.exit(0));
