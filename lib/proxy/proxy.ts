/**
 * Runs a session: turns what happens outside into events, performs the effects,
 * and sets the program's only timer.
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
import * as logMessages from "../session/log_messages.ts";
import { Session } from "../session/session.ts";
import type { Snapshot } from "../session/snapshot.ts";
import { cacheKeyOf, readCacheFile } from "./cache_file.ts";
import { NotOwnedError } from "../runtime/ownership.ts";
import {
  createDialer,
  type Dialer,
  type Socket,
  type TransportEvent,
} from "../transport/websocket.ts";
import { SleepDetector } from "./sleep_detector.ts";
import { LineSplitter, LineWriter } from "./stdio.ts";

/**
 * The limit for a line on stdin follows `--max-message`, within these bounds,
 * in bytes.
 */
const LINE_LIMIT_RANGE_BYTES = [64 * 1024 * 1024, 512 * 1024 * 1024] as const;
/**
 * How many UTF-16 units (stdout) or bytes (socket) may be buffered for a reader
 * that does not read. A WebSocket has no back-pressure.
 */
const MAX_UNREAD = 64 * 1024 * 1024;
/** How often a full socket is checked again, in milliseconds. */
const BACKLOG_CHECK_INTERVAL_MS = 100;
/**
 * How long the shutdown waits for the daemon to see the close code, in
 * milliseconds.
 */
const CLOSE_GRACE_MS = 50;
/**
 * How long after the first request to end the client may still read its
 * responses and the cache may be written, in milliseconds; after two seconds
 * the client kills the process.
 */
const DRAIN_STDOUT_MS = 1_800;
/** The minimum of that time, in milliseconds. */
const MIN_DRAIN_STDOUT_MS = 300;
/** How often the program checks whether the machine slept, in milliseconds. */
const SLEEP_CHECK_INTERVAL_MS = 2_000;
/**
 * How long the diagnosis of a failed dial may delay its report, in
 * milliseconds.
 */
const MAX_DIAGNOSIS_MS = 1_000;
/**
 * How long the lines of one chunk may block sockets, timers and signals, in
 * milliseconds.
 */
const MAX_BUSY_MS = 5;
/** How many lines of a chunk are handled between two reads of the clock. */
const LINES_PER_CLOCK_CHECK = 64;

/**
 * Runs a session on a host until it exits.
 *
 * @param onSnapshot called with the session's snapshot after each event
 * @param dial makes the connections
 * @returns the process's exit code
 */
export function runProxy(
  config: Config,
  version: string,
  host: Host,
  log: (entry: Omit<LogEffect, "type">) => void,
  onSnapshot?: (snapshot: Snapshot) => void,
  dial: Dialer = createProxyDialer(config, host),
): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const now = (): number => performance.now();
  const dialect = createDialect(config, version);
  const cacheKey = cacheKeyOf(config);
  const cacheFile = readCacheFile(config.cache, cacheKey, host);
  if (cacheFile?.problem !== undefined) {
    log(logMessages.cacheUnusable(cacheFile.path, cacheFile.problem));
  }
  const settings = { ...config, version, cachedResults: cacheFile?.results };
  const cacheWriter = cacheFile && cacheFile.isReadOnly === undefined
    ? new CacheWriter(config.cache, cacheKey, host, (why) => {
      log(logMessages.cacheWriteFailed(cacheFile.path, why));
    })
    : undefined;
  const session = new Session(settings, dialect, Math.random, now());
  const sockets = new Map<number, Socket>();
  const logLimiter = new LogRateLimiter();
  const sleepDetector = new SleepDetector(now(), Date.now());
  let statusFile = createStatusFile(config, version, host, now());
  /** The connection ids of the sockets with a full buffer. */
  const backloggedConnections = new Set<number>();
  let pendingCloses: Promise<void>[] = [];
  let endRequestedAt: number | undefined;
  let isStdoutFull = false;
  const stdout = new LineWriter(
    (bytes) => host.writeStdout(bytes),
    Infinity,
    () => handle({ type: "stdout-broken" }),
  );
  let timerAt = Infinity;

  /**
   * Reads the clock once per event. If the program sleeps during an event, the
   * next event detects it.
   */
  function handle(event: SessionEvent): void {
    const at = now();
    const resumed = sleepDetector.detect(at, Date.now(), timerAt);
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
        log(logMessages.bug(error));
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
      checkBacklog(connectionId, socket);
    }
    onSnapshot?.(session.snapshot());
    if (event.type !== "tick" || effects.length > 0) {
      statusFile?.markDirty(eventAt);
    }
    if (statusFile !== undefined && eventAt >= statusFile.nextWriteAt) {
      updateStatusFile(eventAt);
    }
    // Without regular ticks, a sleep of the machine would be detected late.
    const nextCheckAt = Math.min(
      statusFile?.nextWriteAt ?? Infinity,
      eventAt +
        (backloggedConnections.size > 0
          ? BACKLOG_CHECK_INTERVAL_MS
          : SLEEP_CHECK_INTERVAL_MS),
    );
    const at = session.isOver
      ? Infinity
      : Math.min(session.deadline(), nextCheckAt);
    // A timer that fires too early sets the next one.
    if (at >= timerAt && event.type !== "tick") return;
    timerAt = at;
    if (at === Infinity) return;
    // A timer that is no longer the current one does nothing.
    host.setTimer(Math.max(0, Math.ceil(at - now())), () => {
      if (at === timerAt) handle({ type: "tick" });
    });
  }

  /**
   * A WebSocket accepts any amount; a peer that does not read must not use
   * unlimited memory.
   */
  function checkBacklog(
    connectionId: number,
    { backlogBytes }: Socket,
  ): void {
    const isBacklogged = backloggedConnections.has(connectionId);
    if (backlogBytes > MAX_UNREAD && !isBacklogged) {
      backloggedConnections.add(connectionId);
      handle({ type: "backlog", connectionId, state: "full" });
    } else if (backlogBytes < MAX_UNREAD / 8 && isBacklogged) {
      backloggedConnections.delete(connectionId);
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
        backloggedConnections.delete(effect.connectionId);
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
        return log(
          logMessages.healthFileState(path, health, disconnectedForMs),
        );
      }
      case "exit":
        void shutDown(effect.code);
    }
  }

  /** Updates the status file. If that fails, the proxy goes on without it. */
  function updateStatusFile(eventAt: number): void {
    try {
      statusFile?.update(session.snapshot(), eventAt, Date.now() - eventAt);
    } catch (error) {
      statusFile = undefined;
      // One line per folder: the cache may have reported it already.
      const isUnreported = error instanceof NotOwnedError &&
        error.path !== cacheFile?.notOwnedPath;
      log(
        logMessages.statusFileFailed(
          errorMessageOf(error),
          isUnreported ? "warn" : "debug",
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
      // Fast, unless other processes use the cache file.
      cacheWriter?.flush(drainMs),
      waitAtMost(drainMs, stdout.drained()),
    ]);
    resolve(code);
  }

  async function readStdin(): Promise<void> {
    const [minLimit, maxLimit] = LINE_LIMIT_RANGE_BYTES;
    const limit = Math.min(Math.max(config.maxMessage * 4, minLimit), maxLimit);
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
      // Our own messages fill the buffer, too; the client waits until there is
      // room.
      if (stdout.pendingUnits > 2 * MAX_UNREAD) {
        await stdout.drainedTo(MAX_UNREAD);
      }
      // A client that keeps writing must not delay the exit.
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

/** Creates the status file, if the settings want one. */
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

/**
 * Creates the dialer of a proxy. A diagnosis may take until the next dial is
 * due, at most.
 */
export function createProxyDialer(config: Config, host: Host): Dialer {
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
        // The daemon shares results by our ids, so they must not be guessable.
      }, () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32);
  }
}
