/**
 * The shell around the session: outside happenings become events, effects are
 * performed, and the one timer of the program is set.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { atMost } from "../runtime/timeout.ts";
import type { Config } from "../config/config.ts";
import type { Effect, LogEffect, SessionEvent } from "../events.ts";
import { type Host } from "../runtime/host.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { Exai } from "../dialects/exai/exai.ts";
import { readHealth } from "./health_file.ts";
import { Mcp } from "../dialects/mcp/mcp.ts";
import { Keeping } from "./cache_writer.ts";
import { Presence, runningFolder } from "./status_file.ts";
import { Repeats } from "./log_limit.ts";
import * as report from "../session/log_messages.ts";
import { Session } from "../session/session.ts";
import type { Snapshot } from "../session/snapshot.ts";
import { ownerOf, readState } from "./cache_file.ts";
import { Distrust } from "../runtime/ownership.ts";
import {
  type Dial,
  dialer,
  type Socket,
  type SocketReport,
} from "../transport/websocket.ts";
import { Naps } from "./sleep_detector.ts";
import { LineSplitter, LineWriter } from "./stdio.ts";

/** The longest line on stdin that is read whole, in bytes: as `--max-message` wants it, within these bounds. */
const LINE_LIMITS = [64 * 1024 * 1024, 512 * 1024 * 1024] as const;
/** How much may wait for a client that does not read, in UTF-16 units; a WebSocket cannot be told to wait. */
const UNREAD_LIMIT = 64 * 1024 * 1024;
/** How often to look whether a daemon that did not read does now. */
const BACKLOG_MS = 100;
/** How long the end waits for the daemon to see the close code. */
const FAREWELL_MS = 50;
/** How long after the first wish to end the client may still read its answers, and others may use the cache; at two seconds it kills. */
const READING_MS = 1_800;
/** How long they may in any case. */
const LEAST_READING_MS = 300;
/** How often the program looks whether the machine slept. */
const HEARTBEAT_MS = 2_000;
/** How long the reason for a failed dial may be looked for before it is told, in milliseconds. */
const LONGEST_HOLD_MS = 1_000;
/** How long the lines of one chunk may keep sockets, timers and signals waiting. */
const BUSY_MS = 5;
/** After how many lines of a chunk to look at the clock. */
const LOOK_LINES = 64;

/**
 * Runs a session on a host until it exits.
 *
 * @param observe is told what the session is doing after each turn
 * @param dial makes the connections
 * @returns the process's exit code
 */
export function run(
  config: Config,
  version: string,
  host: Host,
  log: (entry: Omit<LogEffect, "type">) => void,
  observe?: (snapshot: Snapshot) => void,
  dial: Dial = dialerOf(config, host),
): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const now = (): number => performance.now();
  const dialect = dialectOf(config, version);
  const owner = ownerOf(config);
  const state = readState(config.cache, owner, host);
  if (state?.trouble !== undefined) {
    log(report.memoryLost(state.path, state.trouble));
  }
  const settings = { ...config, version, remembered: state?.remembered };
  const keeping = state && state.isForeign === undefined
    ? new Keeping(config.cache, owner, host, (why) => {
      log(report.notKept(state.path, why));
    })
    : undefined;
  const session = new Session(settings, dialect, Math.random, now());
  const sockets = new Map<number, Socket>();
  const repeats = new Repeats();
  const naps = new Naps(now(), Date.now());
  let presence = presenceOf(config, version, host, now());
  /** The epochs of the sockets that are full. */
  const full = new Set<number>();
  let farewells: Promise<void>[] = [];
  let endAt: number | undefined;
  let isClogged = false;
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    () => handle({ type: "broken" }),
  );
  let timerAt = Infinity;

  /** One look at the clock for the whole turn: a sleep in the middle of it then makes the next one late. */
  function handle(event: SessionEvent): void {
    const at = now();
    const slept = naps.look(at, Date.now(), timerAt);
    if (slept !== undefined) act(slept, at);
    act(event, at);
  }

  function act(event: SessionEvent, turnAt: number): void {
    farewells = [];
    if (event.type === "end") endAt ??= turnAt;
    const effects = session.handle(event, turnAt);
    for (const effect of effects) {
      try {
        perform(effect, turnAt);
      } catch (error) {
        log(report.bug(error));
      }
    }
    if (stdout.size > UNREAD_LIMIT && !isClogged && !session.isOver) {
      isClogged = true;
      void stdout.below(UNREAD_LIMIT / 8).then(() => {
        isClogged = false;
        handle({ type: "drained" });
      });
      handle({ type: "clogged" });
    }
    if (turnAt >= repeats.dueAt) {
      for (const line of repeats.take(turnAt)) log(line);
    }
    for (const [epoch, socket] of sockets) weigh(epoch, socket);
    observe?.(session.snapshot());
    if (event.type !== "tick" || effects.length > 0) presence?.touch(turnAt);
    if (presence !== undefined && turnAt >= presence.dueAt) show(turnAt);
    // Who wakes seldom learns late that the machine slept.
    const soon = Math.min(
      presence?.dueAt ?? Infinity,
      turnAt + (full.size > 0 ? BACKLOG_MS : HEARTBEAT_MS),
    );
    const at = session.isOver ? Infinity : Math.min(session.deadline(), soon);
    // A timer that comes earlier than it must sets the next one.
    if (at >= timerAt && event.type !== "tick") return;
    timerAt = at;
    if (at === Infinity) return;
    // One that is not the latest any more does nothing.
    host.wake(Math.max(0, Math.ceil(at - now())), () => {
      if (at === timerAt) handle({ type: "tick" });
    });
  }

  /** A WebSocket takes whatever it is given; who does not read must not cost more than it may. */
  function weigh(epoch: number, { backlog }: Socket): void {
    const isFull = full.has(epoch);
    if (backlog > UNREAD_LIMIT && !isFull) {
      full.add(epoch);
      handle({ type: "backlog", epoch, is: "full" });
    } else if (backlog < UNREAD_LIMIT / 8 && isFull) {
      full.delete(epoch);
      handle({ type: "backlog", epoch, is: "read" });
    }
  }

  function perform(effect: Effect, turnAt: number): void {
    switch (effect.type) {
      case "dial": {
        const { epoch, subprotocol } = effect;
        const emit = (event: SocketReport): void => handle({ ...event, epoch });
        sockets.set(
          epoch,
          dial(config.url, subprotocol, config.headers, emit),
        );
        return;
      }
      case "send":
        return sockets.get(effect.epoch)?.send(effect.text);
      case "close": {
        const socket = sockets.get(effect.epoch);
        sockets.delete(effect.epoch);
        full.delete(effect.epoch);
        if (socket !== undefined) farewells.push(socket.close());
        return;
      }
      case "reply":
        return stdout.push(effect.text);
      case "log":
        if (repeats.admits(effect, turnAt)) log(effect);
        return;
      case "remember":
        return keeping?.keep(effect.learned);
      case "health file": {
        const { path, lostMs } = effect;
        const found = readHealth(() => host.readFile(path), Date.now());
        return log(report.healthFile(path, found, lostMs));
      }
      case "exit":
        void leave(effect.code);
    }
  }

  /** Tells who asks what the session is doing; if it cannot be told, nobody is kept from anything. */
  function show(turnAt: number): void {
    try {
      presence?.show(session.snapshot(), turnAt, Date.now() - turnAt);
    } catch (error) {
      presence = undefined;
      // One line is enough for one folder.
      const isNews = error instanceof Distrust &&
        error.path !== state?.distrusted;
      log(report.unseen(messageOf(error), isNews ? "warn" : "debug"));
    }
  }

  async function leave(code: number): Promise<void> {
    timerAt = Infinity;
    for (const line of repeats.take(Infinity)) log(line);
    presence?.leave();
    presence = undefined;
    const readingMs = Math.max(
      (endAt ?? now()) + READING_MS - now(),
      LEAST_READING_MS,
    );
    await Promise.all([
      atMost(FAREWELL_MS, Promise.all(farewells)),
      // This takes a moment, unless other proxies are at it.
      keeping?.end(readingMs),
      atMost(readingMs, stdout.idle()),
    ]);
    resolve(code);
  }

  async function read(): Promise<void> {
    const [least, most] = LINE_LIMITS;
    const limit = Math.min(Math.max(config.maxMessage * 4, least), most);
    const lines = new LineSplitter(limit);
    for await (const chunk of host.stdin()) {
      let servedAt = now();
      let count = 0;
      for (const line of lines.push(chunk)) {
        if (++count % LOOK_LINES === 0 && now() - servedAt > BUSY_MS) {
          await host.turn();
          servedAt = now();
        }
        handle(line);
      }
      // Even what we say ourselves needs room; until there is some, the client waits, too.
      if (stdout.size > 2 * UNREAD_LIMIT) await stdout.below(UNREAD_LIMIT);
      // A client that writes on must not keep us from the end.
      if (session.isOver) return;
    }
    for (const line of lines.flush()) handle(line);
    handle({ type: "end", cause: "stdin" });
  }

  host.onSignal(() => handle({ type: "end", cause: "signal" }));
  handle({ type: "tick" });
  void read();
  return promise;
}

/** The file for `alwaysup status`, if there is to be one. */
function presenceOf(
  { status, shownUrl: url, dialect }: Config,
  version: string,
  host: Host,
  now: number,
): Presence | undefined {
  const folder = status === "on" ? runningFolder(host) : undefined;
  const { pid, runtime } = host;
  const startedAt = Date.now();
  const facts = { pid, version, runtime, url, dialect, startedAt };
  return folder === undefined
    ? undefined
    : new Presence(host, folder, facts, now);
}

/** What dials as every proxy does. A reason may be looked for until the next dial is due, but no longer. */
export function dialerOf(config: Config, host: Host): Dial {
  return dialer(host, Math.min(config.backoffBase, LONGEST_HOLD_MS));
}

function dialectOf(config: Config, version: string): Dialect {
  switch (config.dialect) {
    case "mcp":
      return new Mcp(Math.random);
    case "exai":
      return new Exai({
        sessionId: config.sessionId,
        token: config.helloToken,
        server: { name: config.serverName, version },
        ackGrace: config.ackGrace,
        output: config.toolOutput,
        maxMessage: config.maxMessage,
        // The daemon shares its results by our ids, which nobody should guess.
      }, () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32);
  }
}
