/**
 * The shell around the session: outside happenings become events, effects are
 * performed, and the one timer of the program is set.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import type { Config } from "../config/config.ts";
import type { Effect, LogEffect, SessionEvent } from "../events.ts";
import { type Host } from "../runtime/host.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { Exai } from "../dialects/exai/exai.ts";
import { readHealthFile } from "./health_file.ts";
import { Mcp } from "../dialects/mcp/mcp.ts";
import { CacheWriter } from "./cache_writer.ts";
import { StatusFile, statusFolder } from "./status_file.ts";
import { LogRateLimiter } from "./log_rate_limiter.ts";
import * as report from "../session/log_messages.ts";
import { Session } from "../session/session.ts";
import type { Snapshot } from "../session/snapshot.ts";
import { cacheKeyOf, readCacheFile } from "./cache_file.ts";
import { NotOwnedError } from "../runtime/ownership.ts";
import {
  createDialer,
  type Dial,
  type Socket,
  type TransportEvent,
} from "../transport/websocket.ts";
import { SleepDetector } from "./sleep_detector.ts";
import { LineSplitter, LineWriter } from "./stdio.ts";

/** The longest line on stdin that is read whole, in bytes: as `--max-message` wants it, within these bounds. */
const LINE_LIMIT_RANGE_BYTES = [64 * 1024 * 1024, 512 * 1024 * 1024] as const;
/** How much may wait for a client that does not read, in UTF-16 units; a WebSocket cannot be told to wait. */
const MAX_UNREAD = 64 * 1024 * 1024;
/** How often to look whether a daemon that did not read does now. */
const BACKLOG_CHECK_INTERVAL_MS = 100;
/** How long the end waits for the daemon to see the close code. */
const CLOSE_GRACE_MS = 50;
/** How long after the first wish to end the client may still read its answers, and others may use the cache; at two seconds it kills. */
const DRAIN_STDOUT_MS = 1_800;
/** How long they may in any case. */
const MIN_DRAIN_STDOUT_MS = 300;
/** How often the program looks whether the machine slept. */
const SLEEP_CHECK_INTERVAL_MS = 2_000;
/** How long the reason for a failed dial may be looked for before it is told, in milliseconds. */
const MAX_DIAGNOSIS_MS = 1_000;
/** How long the lines of one chunk may keep sockets, timers and signals waiting. */
const MAX_BUSY_MS = 5;
/** After how many lines of a chunk to look at the clock. */
const LINES_PER_CLOCK_CHECK = 64;

/**
 * Runs a session on a host until it exits.
 *
 * @param onSnapshot is told what the session is doing after each turn
 * @param dial makes the connections
 * @returns the process's exit code
 */
export function runProxy(
  config: Config,
  version: string,
  host: Host,
  log: (entry: Omit<LogEffect, "type">) => void,
  onSnapshot?: (snapshot: Snapshot) => void,
  dial: Dial = createProxyDialer(config, host),
): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const now = (): number => performance.now();
  const dialect = createDialect(config, version);
  const cacheKey = cacheKeyOf(config);
  const cacheFile = readCacheFile(config.cache, cacheKey, host);
  if (cacheFile?.problem !== undefined) {
    log(report.cacheUnusable(cacheFile.path, cacheFile.problem));
  }
  const settings = { ...config, version, cachedResults: cacheFile?.results };
  const cacheWriter = cacheFile && cacheFile.isReadOnly === undefined
    ? new CacheWriter(config.cache, cacheKey, host, (why) => {
      log(report.cacheWriteFailed(cacheFile.path, why));
    })
    : undefined;
  const session = new Session(settings, dialect, Math.random, now());
  const sockets = new Map<number, Socket>();
  const logLimiter = new LogRateLimiter();
  const sleepDetector = new SleepDetector(now(), Date.now());
  let statusFile = createStatusFile(config, version, host, now());
  /** The connection ids of the sockets that are full. */
  const fullConnections = new Set<number>();
  let pendingCloses: Promise<void>[] = [];
  let endRequestedAt: number | undefined;
  let isStdoutFull = false;
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    () => handle({ type: "stdout-broken" }),
  );
  let timerAt = Infinity;

  /** One look at the clock for the whole turn: a sleep in the middle of it then makes the next one late. */
  function handle(event: SessionEvent): void {
    const at = now();
    const resumed = sleepDetector.check(at, Date.now(), timerAt);
    if (resumed !== undefined) dispatch(resumed, at);
    dispatch(event, at);
  }

  function dispatch(event: SessionEvent, eventAt: number): void {
    pendingCloses = [];
    if (event.type === "end") endRequestedAt ??= eventAt;
    const effects = session.handle(event, eventAt);
    for (const effect of effects) {
      try {
        perform(effect, eventAt);
      } catch (error) {
        log(report.bug(error));
      }
    }
    if (stdout.pendingUnits > MAX_UNREAD && !isStdoutFull && !session.isOver) {
      isStdoutFull = true;
      void stdout.drainedTo(MAX_UNREAD / 8).then(() => {
        isStdoutFull = false;
        handle({ type: "stdout-drained" });
      });
      handle({ type: "stdout-full" });
    }
    if (eventAt >= logLimiter.nextSummaryAt) {
      for (const line of logLimiter.takeSummaries(eventAt)) log(line);
    }
    for (const [connectionId, socket] of sockets) {
      checkBackpressure(connectionId, socket);
    }
    onSnapshot?.(session.snapshot());
    if (event.type !== "tick" || effects.length > 0) {
      statusFile?.markDirty(eventAt);
    }
    if (statusFile !== undefined && eventAt >= statusFile.nextWriteAt) {
      updateStatusFile(eventAt);
    }
    // Who wakes seldom learns late that the machine slept.
    const nextCheckAt = Math.min(
      statusFile?.nextWriteAt ?? Infinity,
      eventAt +
        (fullConnections.size > 0
          ? BACKLOG_CHECK_INTERVAL_MS
          : SLEEP_CHECK_INTERVAL_MS),
    );
    const at = session.isOver
      ? Infinity
      : Math.min(session.deadline(), nextCheckAt);
    // A timer that comes earlier than it must sets the next one.
    if (at >= timerAt && event.type !== "tick") return;
    timerAt = at;
    if (at === Infinity) return;
    // One that is not the latest any more does nothing.
    host.setTimer(Math.max(0, Math.ceil(at - now())), () => {
      if (at === timerAt) handle({ type: "tick" });
    });
  }

  /** A WebSocket takes whatever it is given; who does not read must not cost more than it may. */
  function checkBackpressure(
    connectionId: number,
    { backlogBytes }: Socket,
  ): void {
    const isFull = fullConnections.has(connectionId);
    if (backlogBytes > MAX_UNREAD && !isFull) {
      fullConnections.add(connectionId);
      handle({ type: "backlog", connectionId, state: "full" });
    } else if (backlogBytes < MAX_UNREAD / 8 && isFull) {
      fullConnections.delete(connectionId);
      handle({ type: "backlog", connectionId, state: "drained" });
    }
  }

  function perform(effect: Effect, eventAt: number): void {
    switch (effect.type) {
      case "dial": {
        const { connectionId, subprotocol } = effect;
        const onEvent = (event: TransportEvent): void =>
          handle({ ...event, connectionId });
        sockets.set(
          connectionId,
          dial(config.url, subprotocol, config.headers, onEvent),
        );
        return;
      }
      case "send-to-daemon":
        return sockets.get(effect.connectionId)?.send(effect.text);
      case "close": {
        const socket = sockets.get(effect.connectionId);
        sockets.delete(effect.connectionId);
        fullConnections.delete(effect.connectionId);
        if (socket !== undefined) pendingCloses.push(socket.close());
        return;
      }
      case "send-to-client":
        return stdout.push(effect.text);
      case "log":
        if (logLimiter.shouldWrite(effect, eventAt)) log(effect);
        return;
      case "save-cache":
        return cacheWriter?.save(effect.results);
      case "log-health-file": {
        const { path, disconnectedForMs } = effect;
        const health = readHealthFile(() => host.readFile(path), Date.now());
        return log(report.healthFileState(path, health, disconnectedForMs));
      }
      case "exit":
        void shutDown(effect.code);
    }
  }

  /** Tells who asks what the session is doing; if it cannot be told, nobody is kept from anything. */
  function updateStatusFile(eventAt: number): void {
    try {
      statusFile?.update(session.snapshot(), eventAt, Date.now() - eventAt);
    } catch (error) {
      statusFile = undefined;
      // One line is enough for one folder.
      const isNews = error instanceof NotOwnedError &&
        error.path !== cacheFile?.distrusted;
      log(
        report.statusFileFailed(
          errorMessageOf(error),
          isNews ? "warn" : "debug",
        ),
      );
    }
  }

  async function shutDown(code: number): Promise<void> {
    timerAt = Infinity;
    for (const line of logLimiter.takeSummaries(Infinity)) log(line);
    statusFile?.remove();
    statusFile = undefined;
    const drainMs = Math.max(
      (endRequestedAt ?? now()) + DRAIN_STDOUT_MS - now(),
      MIN_DRAIN_STDOUT_MS,
    );
    await Promise.all([
      waitAtMost(CLOSE_GRACE_MS, Promise.all(pendingCloses)),
      // This takes a moment, unless other proxies are at it.
      cacheWriter?.flush(drainMs),
      waitAtMost(drainMs, stdout.drained()),
    ]);
    resolve(code);
  }

  async function readStdin(): Promise<void> {
    const [least, most] = LINE_LIMIT_RANGE_BYTES;
    const limit = Math.min(Math.max(config.maxMessage * 4, least), most);
    const lines = new LineSplitter(limit);
    for await (const chunk of host.stdin()) {
      let yieldedAt = now();
      let count = 0;
      for (const line of lines.push(chunk)) {
        if (
          ++count % LINES_PER_CLOCK_CHECK === 0 &&
          now() - yieldedAt > MAX_BUSY_MS
        ) {
          await host.yieldToEvents();
          yieldedAt = now();
        }
        handle(line);
      }
      // Even what we say ourselves needs room; until there is some, the client waits, too.
      if (stdout.pendingUnits > 2 * MAX_UNREAD) {
        await stdout.drainedTo(MAX_UNREAD);
      }
      // A client that writes on must not keep us from the end.
      if (session.isOver) return;
    }
    for (const line of lines.flush()) handle(line);
    handle({ type: "end", cause: "stdin" });
  }

  host.onSignal(() => handle({ type: "end", cause: "signal" }));
  handle({ type: "tick" });
  void readStdin();
  return promise;
}

/** The file for `alwaysup status`, if there is to be one. */
function createStatusFile(
  { status, redactedUrl: url, dialect }: Config,
  version: string,
  host: Host,
  now: number,
): StatusFile | undefined {
  const folder = status === "on" ? statusFolder(host) : undefined;
  const { pid, runtime } = host;
  const startedAt = Date.now();
  const info = { pid, version, runtime, url, dialect, startedAt };
  return folder === undefined
    ? undefined
    : new StatusFile(host, folder, info, now);
}

/** What dials as every proxy does. A reason may be looked for until the next dial is due, but no longer. */
export function createProxyDialer(config: Config, host: Host): Dial {
  return createDialer(host, Math.min(config.backoffBase, MAX_DIAGNOSIS_MS));
}

function createDialect(config: Config, version: string): Dialect {
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
