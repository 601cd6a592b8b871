/**
 * Runs a session: turns input lines, socket events and signals into events for
 * the session, performs its effects, and sets its timer.
 *
 * This folder connects the session to the outside. It contains this loop,
 * stdio, the log, and the files of a running proxy (cache and status).
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import type { Config } from "../config/config.ts";
import { createConfigRedactor } from "../config/secrets.ts";
import type {
  Effect,
  LogEffect,
  LogEventName,
  LogLevel,
  SessionEvent,
} from "../events.ts";
import { type Host, pause } from "../runtime/host.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { Exai, isExaiClose } from "../dialects/exai/exai.ts";
import { describeHealthFile, readHealthFile } from "./health_file.ts";
import { Mcp } from "../dialects/mcp/mcp.ts";
import { BackPressure, MAX_UNREAD } from "./back_pressure.ts";
import { StatusFile, statusFolder } from "./status_file.ts";
import { type LogEntry, LogRateLimiter } from "./logger.ts";
import { bugReport, createLogEffect } from "../session/session_log.ts";
import { Session } from "../session/session.ts";
import { HistoryRecorder } from "../telemetry/history.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { HttpAddress, HttpServer } from "../runtime/http_server.ts";
import type { ProxyInfo } from "../telemetry/figures.ts";
import type { MeasuredProxy } from "../telemetry/metric_families.ts";
import type { LiveStatus } from "./status_format.ts";
import type { Snapshot } from "../session/snapshot.ts";
import { cacheKeyOf, CacheWriter, readCacheFile } from "./cache_file.ts";
import { UntrustedFileError } from "../runtime/own_files.ts";
import type { Transport, TransportConnection } from "../transport/transport.ts";
import { createWebSocketTransport } from "../transport/websocket.ts";
import { SleepDetector } from "./sleep_detector.ts";
import { LineSplitter, LineWriter } from "./stdio.ts";

/** The bounds of the limit for a line, which is four times `--max-message`. */
const MIN_LINE_LIMIT_BYTES = 64 * 1024 * 1024;
const MAX_LINE_LIMIT_BYTES = 512 * 1024 * 1024;
/** How long a chunk may delay sockets, timers and signals, in milliseconds. */
const MAX_BUSY_MS = 5;
/** Above this backlog of a connection, stdin is read more slowly. */
const PAUSE_BACKLOG_BYTES = 1024 * 1024;
/** How long a daemon that does not read delays each chunk, in milliseconds. */
const MAX_STDIN_PAUSE_MS = 50;
/** How often its backlog is checked meanwhile, in milliseconds. */
const STDIN_PAUSE_STEP_MS = 2;
/** The most lines of a chunk that are handled in one turn. */
const MAX_LINES_PER_TURN = 64;
/** The interval at which full readers are checked, in milliseconds. */
const BACKLOG_CHECK_INTERVAL_MS = 100;
/** The pause before another attempt to serve the metrics, in milliseconds. */
const METRICS_RETRY_MS = 30_000;
/** The interval at which the proxy checks for a sleep, in milliseconds. */
const SLEEP_CHECK_INTERVAL_MS = 2_000;
/** How long the shutdown waits for the closing handshakes, in milliseconds. */
const CLOSE_GRACE_MS = 50;
/**
 * How long the client may read its responses after stdin's end or a signal, in
 * milliseconds. After two seconds, the client kills the process.
 */
const DRAIN_STDOUT_MS = 1_800;
/** The least time that stdout gets to drain once the session ends, in ms. */
const MIN_DRAIN_STDOUT_MS = 300;

/**
 * Runs a session until it exits, and resolves with the process's exit code.
 * `onTurn` is called at the end of each turn.
 */
export async function runProxy(
  config: Config,
  version: string,
  host: Host,
  log: (entry: LogEntry) => void,
  onTurn?: (takeSnapshot: () => Snapshot) => void,
  transport: Transport = createWebSocketTransport(config, host),
): Promise<number> {
  const countsMessages = config.metrics !== "off";
  const logsToClient = config.logToClient === "on";
  const writeMessageLine = config.logLevel === "debug" ? log : undefined;
  // Most proxies look at no message for the log or the figures.
  const telemetry = countsMessages || logsToClient || writeMessageLine
    ? (await import("../telemetry/telemetry.ts")).createTelemetry({
      ...{ countsMessages, logsToClient, writeMessageLine },
      redact: createConfigRedactor(config),
    })
    : undefined;
  return await new Proxy(
    config,
    version,
    host,
    log,
    onTurn,
    transport,
    telemetry,
  ).run();
}

/**
 * A session with its stdio, connections and files. Events are handled in turns.
 * A turn begins with one event, or with several lines of stdin. It also handles
 * the events that occur during the turn. Turns that follow each other without a
 * pause, for example those of the frames in one chunk, read the clocks once.
 * After them, when their messages are written, the rest of the work is done.
 */
class Proxy {
  readonly #config: Config;
  readonly #host: Host;
  readonly #log: LogRateLimiter;
  readonly #onTurn: ((takeSnapshot: () => Snapshot) => void) | undefined;
  readonly #transport: Transport;
  readonly #session: Session;
  readonly #connections = new Map<number, TransportConnection>();
  readonly #stdout: LineWriter;
  readonly #sleepDetector: SleepDetector;
  readonly #history = new HistoryRecorder();
  readonly #cacheFile: ReturnType<typeof readCacheFile>;
  readonly #cacheWriter: CacheWriter | undefined;
  readonly #exitCode = Promise.withResolvers<number>();
  /** The events of the current turn, or of the next one. */
  readonly #queue: SessionEvent[] = [];
  #isInTurn = false;
  /** True from the end of a turn until {@linkcode #endTurns} runs. */
  #isEndQueued = false;
  /** True if the status file may be out of date. */
  #hasChanged = false;
  /** When the current turn began, by the monotonic clock. */
  #now = performance.now();
  /** The closing handshakes that this turn has begun, one per connection. */
  #closingConnections: Promise<void>[] = [];
  /** When the newest timer fires or has fired. */
  #timerDueAt = Infinity;
  #isTimerSet = false;
  #endRequestedAt: number | undefined;
  /** The connection that the last frame was sent on; 0 for none. */
  #receiverId = 0;
  /** True if the backlog of that connection was not checked since then. */
  #hasSent = false;
  #statusFile: StatusFile | undefined;
  readonly #info: ProxyInfo;
  readonly #telemetry: Telemetry | undefined;
  #metricsServer: HttpServer | undefined;
  #metricsUrl: string | undefined;

  constructor(
    config: Config,
    version: string,
    host: Host,
    log: (entry: LogEntry) => void,
    onTurn: ((takeSnapshot: () => Snapshot) => void) | undefined,
    transport: Transport,
    telemetry: Telemetry | undefined,
  ) {
    this.#config = config;
    this.#host = host;
    this.#telemetry = telemetry;
    this.#log = new LogRateLimiter((entry) => {
      log(entry);
      this.#logToClient(entry);
    });
    this.#onTurn = onTurn;
    this.#transport = transport;
    const cacheFile = readCacheFile(config.cache, cacheKeyOf(config), host);
    this.#cacheFile = cacheFile;
    if (cacheFile?.problem !== undefined) {
      const { path, problem } = cacheFile;
      const text = `The cache ${path} is not used: ${problem} (--cache off ` +
        "disables the cache).";
      log(createLogEffect("warn", "cache", text));
    }
    if (cacheFile !== undefined && cacheFile.mustBeKept === undefined) {
      this.#cacheWriter = new CacheWriter(config, host, log);
    }
    this.#session = new Session(
      { ...config, version, cachedResults: cacheFile?.results },
      createDialect(config, version),
      Math.random,
      this.#now,
    );
    this.#sleepDetector = new SleepDetector(this.#now, Date.now());
    const folder = config.status === "on" ? statusFolder(host) : undefined;
    const { redactedUrl: url, dialect } = config;
    const { pid, runtime } = host;
    const startedAt = Date.now();
    this.#info = { pid, version, runtime, url, dialect, startedAt };
    if (folder !== undefined) {
      this.#statusFile = new StatusFile(host, folder, this.#info, this.#now);
    }
    this.#stdout = new LineWriter(
      (bytes) => host.writeStdout(bytes),
      Infinity,
      () => this.#handle({ type: "stdout-broken" }),
      () => host.yieldToEvents(),
    );
  }

  run(): Promise<number> {
    this.#host.onSignal(() => this.#handle({ type: "end", cause: "signal" }));
    this.#handle({ type: "tick" });
    const { metrics } = this.#config;
    if (typeof metrics === "object") void this.#serveMetrics(metrics);
    void this.#readStdin();
    return this.#exitCode.promise;
  }

  async #readStdin(): Promise<void> {
    const limit = Math.max(4 * this.#config.maxMessage, MIN_LINE_LIMIT_BYTES);
    const splitter = new LineSplitter(Math.min(limit, MAX_LINE_LIMIT_BYTES));
    await this.#host.readStdin((chunk) => {
      // A client that keeps writing must not delay the exit.
      if (this.#session.isOver) return undefined;
      const lines = splitter.push(chunk);
      if (lines.length === 0) return undefined;
      if (lines.length > MAX_LINES_PER_TURN) return this.#handleMany(lines);
      for (const line of lines) this.#queue.push(line);
      this.#runTurn();
      return this.#mustPauseStdin ? this.#pauseStdin() : undefined;
    });
    for (const line of splitter.flush()) this.#handle(line);
    this.#handle({ type: "end", cause: "stdin" });
  }

  /** Handles many lines, and yields to other events if that takes long. */
  async #handleMany(lines: readonly SessionEvent[]): Promise<void> {
    let yieldedAt = performance.now();
    for (let at = 0; at < lines.length; at += MAX_LINES_PER_TURN) {
      const end = Math.min(at + MAX_LINES_PER_TURN, lines.length);
      for (let i = at; i < end; i++) this.#queue.push(lines[i]!);
      this.#runTurn();
      if (performance.now() - yieldedAt <= MAX_BUSY_MS) continue;
      await this.#host.yieldToEvents();
      yieldedAt = performance.now();
    }
    if (this.#mustPauseStdin) await this.#pauseStdin();
  }

  /** True if the client or the daemon should read before more is read. */
  get #mustPauseStdin(): boolean {
    return this.#stdout.backlog > 2 * MAX_UNREAD ||
      (this.#connections.get(this.#receiverId)?.backlog ?? 0) >
        PAUSE_BACKLOG_BYTES;
  }

  /**
   * Waits until the client has read, because the proxy's own responses fill the
   * buffer, too. Also waits for the daemon, but not for long: the proxy must
   * notice the end of stdin while the daemon does not read.
   */
  async #pauseStdin(): Promise<void> {
    if (this.#stdout.backlog > 2 * MAX_UNREAD) {
      await this.#stdout.drained(MAX_UNREAD);
    }
    const until = performance.now() + MAX_STDIN_PAUSE_MS;
    while (this.#mustPauseStdin && performance.now() < until) {
      await pause(this.#host, STDIN_PAUSE_STEP_MS);
    }
  }

  /** Adds an event to the current turn, or else starts a turn with it. */
  readonly #handle = (event: SessionEvent): void => {
    this.#queue.push(event);
    if (!this.#isInTurn) this.#runTurn();
  };
  readonly #backPressure = new BackPressure(this.#handle);

  /**
   * Handles the queued events. If the machine sleeps during this turn, the next
   * turn detects it.
   */
  #runTurn(): void {
    this.#isInTurn = true;
    if (!this.#isEndQueued) this.#readClocks();
    const now = this.#now;
    this.#closingConnections = [];
    // The effects may add events, which this loop handles, too.
    for (let i = 0; i < this.#queue.length; i++) {
      const event = this.#queue[i]!;
      if (event.type === "end") this.#onEndRequested(now);
      const effects = this.#session.handle(event, now);
      if (event.type !== "tick" || effects.length > 0) this.#hasChanged = true;
      if (this.#telemetry) this.#observe(this.#telemetry, event, effects);
      for (let k = 0; k < effects.length; k++) {
        try {
          this.#perform(effects[k]!);
        } catch (error) {
          this.#log.write(bugReport(error), now);
        }
      }
      if (i === this.#queue.length - 1) this.#checkBacklogs();
    }
    this.#queue.length = 0;
    this.#isInTurn = false;
    if (this.#isEndQueued) return;
    this.#isEndQueued = true;
    queueMicrotask(this.#endTurns);
  }

  /** The next proxy of the client may want the same port at once. */
  #onEndRequested(now: number): void {
    this.#endRequestedAt ??= now;
    this.#metricsServer?.close();
  }

  #observe(
    { observer }: Telemetry,
    event: SessionEvent,
    effects: readonly Effect[],
  ): void {
    try {
      observer.observe(event, effects, this.#now);
    } catch (error) {
      this.#log.write(bugReport(error), this.#now);
    }
  }

  /** Sends a log entry to a client that wants it. */
  #logToClient(entry: LogEffect): void {
    const telemetry = this.#telemetry;
    if (telemetry?.clientLog === undefined) return;
    const text = telemetry.clientLog.notificationFor(entry);
    if (text === undefined) return;
    const effect: Effect = { type: "send-to-client", text };
    this.#observe(telemetry, { type: "tick" }, [effect]);
    this.#stdout.push(text);
  }

  /** Serves the metrics. If that fails, the proxy works without them. */
  async #serveMetrics(address: HttpAddress): Promise<void> {
    const { describeListenError, metricsUrlOf, serveMetrics } = await import(
      "./metrics_server.ts"
    );
    for (let isFirst = true; this.#endRequestedAt === undefined;) {
      try {
        const server = await serveMetrics(address, () => this.#measure());
        const url = metricsUrlOf({ ...address, port: server.port });
        return this.#useMetricsServer(server, url);
      } catch (error) {
        const text =
          `The metrics are not served at ${metricsUrlOf(address)}: ${
            describeListenError(error)
          }. The proxy works without them, and ` +
          "tries again every 30 s (--metrics; port 0 picks a free port).";
        if (isFirst) this.#writeLog("warn", "metrics", text);
        isFirst = false;
      }
      await pause(this.#host, METRICS_RETRY_MS);
    }
  }

  #useMetricsServer(server: HttpServer, url: string): void {
    if (this.#endRequestedAt !== undefined) return server.close();
    this.#metricsServer = server;
    this.#metricsUrl = url;
    this.#writeLog("info", "metrics", `The metrics are served at ${url}`);
    // The status file must contain the URL.
    this.#hasChanged = true;
    this.#handle({ type: "tick" });
  }

  #measure(): MeasuredProxy {
    // The turn notices if the machine has just slept.
    this.#handle({ type: "tick" });
    const { history, figures, ...snapshot } = this.#liveStatus();
    const now = this.#now;
    return { ...this.#info, now, snapshot, history, figures, labels: {} };
  }

  #readClocks(): void {
    this.#now = performance.now();
    const resumed = this.#sleepDetector.detect(
      this.#now,
      Date.now(),
      this.#timerDueAt,
    );
    if (resumed !== undefined) this.#queue.unshift(resumed);
  }

  /** Does what the messages of the last turns need not wait for. */
  readonly #endTurns = (): void => {
    const now = this.#now;
    this.#isEndQueued = false;
    this.#log.writeSummaries(now);
    this.#onTurn?.(this.#takeSnapshot);
    if (this.#hasChanged) this.#statusFile?.markDirty(now);
    this.#hasChanged = false;
    if (this.#statusFile && now >= this.#statusFile.nextWriteAt) {
      this.#updateStatusFile(this.#statusFile);
    }
    this.#setTimer();
  };

  /** Checks the readers of the output of this turn. This may add events. */
  #checkBacklogs(): void {
    this.#backPressure.check(this.#stdout);
    if (!this.#hasSent) return;
    this.#hasSent = false;
    const receiver = this.#connections.get(this.#receiverId);
    if (receiver === undefined) return;
    this.#backPressure.check(receiver, this.#receiverId);
  }

  #setTimer(): void {
    // Only a turn detects a sleep of the machine, so turns must be regular.
    const intervalMs = this.#backPressure.hasFullReader
      ? BACKLOG_CHECK_INTERVAL_MS
      : SLEEP_CHECK_INTERVAL_MS;
    const at = Math.min(
      this.#session.deadline(),
      this.#statusFile?.nextWriteAt ?? Infinity,
      this.#now + intervalMs,
    );
    if (this.#session.isOver || this.#isTimerSet && at >= this.#timerDueAt) {
      return;
    }
    this.#timerDueAt = at;
    this.#isTimerSet = true;
    const delayMs = Math.max(0, Math.ceil(at - performance.now()));
    this.#host.setTimer(delayMs, () => {
      // Timers cannot be cleared, so a replaced one does nothing.
      if (at !== this.#timerDueAt) return;
      this.#isTimerSet = false;
      this.#backPressure.checkAgain();
      this.#handle({ type: "tick" });
    });
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial": {
        this.#history.record(effect, this.#now, Date.now());
        const { connectionId, subprotocol } = effect;
        const connection = this.#transport.dial(
          connectionId,
          subprotocol,
          this.#handle,
        );
        this.#connections.set(connectionId, connection);
        return;
      }
      case "send-to-daemon": {
        const connection = this.#connections.get(effect.connectionId);
        if (connection === undefined) return;
        connection.send(effect.text);
        if (effect.connectionId !== this.#receiverId) this.#checkBacklogs();
        this.#receiverId = effect.connectionId;
        this.#hasSent = true;
        return;
      }
      case "close": {
        const connection = this.#connections.get(effect.connectionId);
        this.#connections.delete(effect.connectionId);
        if (connection !== undefined) {
          this.#closingConnections.push(connection.close());
        }
        return;
      }
      case "send-to-client":
        return this.#stdout.push(effect.text);
      case "log":
        this.#history.record(effect, this.#now, Date.now());
        return this.#log.write(effect, this.#now);
      case "save-cache":
        return this.#cacheWriter?.save(effect.results);
      case "log-health-file": {
        const { path, disconnectedForMs } = effect;
        const found = readHealthFile(this.#host, path);
        const what = describeHealthFile(found, disconnectedForMs);
        const text = `The daemon's health file ${path} ${what}`;
        return this.#writeLog("info", "health-file", text);
      }
      case "exit":
        void this.#shutDown(effect.code);
    }
  }

  /**
   * Writes the status file. Stops its updates if another user may have written
   * it.
   */
  #updateStatusFile(file: StatusFile): void {
    const wallClockOffsetMs = Date.now() - this.#now;
    try {
      file.update(this.#liveStatus(), this.#now, wallClockOffsetMs);
    } catch (error) {
      const isNotOwned = error instanceof UntrustedFileError;
      if (isNotOwned) this.#statusFile = undefined;
      // The cache may have reported the folder already. One warning is enough.
      const isUnreported = isNotOwned &&
        error.path !== this.#cacheFile?.untrustedPath;
      const text =
        `\`alwaysup status\` cannot show this proxy: ${
          errorMessageOf(error)
        } ` +
        "(--status off disables the status file).";
      this.#writeLog(isUnreported ? "warn" : "debug", "status-file", text);
    }
  }

  readonly #takeSnapshot = (): Snapshot => this.#session.snapshot();

  #liveStatus(): LiveStatus {
    return {
      ...this.#session.snapshot(),
      history: this.#history.snapshot(),
      figures: this.#telemetry?.counter?.snapshot(),
      metricsUrl: this.#metricsUrl,
    };
  }

  #writeLog(level: LogLevel, event: LogEventName, text: string): void {
    this.#log.write(createLogEffect(level, event, text), this.#now);
  }

  async #shutDown(code: number): Promise<void> {
    this.#log.writeSummaries(Infinity);
    this.#metricsServer?.close();
    this.#statusFile?.remove();
    this.#statusFile = undefined;
    const now = performance.now();
    const drainMs = Math.max(
      (this.#endRequestedAt ?? now) + DRAIN_STDOUT_MS - now,
      MIN_DRAIN_STDOUT_MS,
    );
    await Promise.all([
      this.#cacheWriter?.close(),
      waitAtMost(CLOSE_GRACE_MS, Promise.all(this.#closingConnections)),
      waitAtMost(drainMs, this.#stdout.drained()),
    ]);
    this.#exitCode.resolve(code);
  }
}

function createDialect(config: Config, version: string): Dialect {
  switch (config.dialect) {
    case "mcp":
      return new Mcp(
        Math.random,
        (event) => isExaiClose(event) ? "exai" : undefined,
      );
    case "exai":
      return new Exai({
        sessionId: config.sessionId,
        token: config.helloToken,
        server: { name: config.serverName, version },
        ackGrace: config.ackGrace,
        output: config.toolOutput,
        maxMessage: config.maxMessage,
        // Any client can get a result by its id, so ids must not be guessable.
      }, () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32);
  }
}
