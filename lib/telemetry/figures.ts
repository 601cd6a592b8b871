/**
 * The figures of a proxy: what the metrics and the status file contain. They
 * are plain data, which can be written to a file and read again.
 *
 * @module
 */

/** The properties of a proxy that do not change while it runs. */
export interface ProxyInfo {
  /** The process id. */
  readonly pid: number;
  /** The program's version. */
  readonly version: string;
  /** The runtime's name and version. */
  readonly runtime: string;
  /** The daemon's URL, without secrets. */
  readonly url: string;
  /** The daemon's dialect. */
  readonly dialect: string;
  /** When the proxy was started, in milliseconds since 1970. */
  readonly startedAt: number;
}

/**
 * The upper bounds of the duration buckets, in seconds, from OpenTelemetry's
 * conventions for MCP. There is one more bucket for longer durations.
 */
export const DURATION_BOUNDS = [
  ...[0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
  ...[1, 2, 5, 10, 30, 60, 120, 300],
] as const;

/** The durations of operations with the same attributes. */
export interface OperationFigures {
  /**
   * `server`: from the client's request to the proxy's answer. `client`: from
   * the first write to the daemon to the end.
   */
  readonly side: "server" | "client";
  /** `mcp.method.name`. */
  readonly method: string;
  /** `gen_ai.tool.name` or `gen_ai.prompt.name`, by the method. */
  readonly name?: string | undefined;
  /** `error.type`; undefined for a success. */
  readonly errorType?: string | undefined;
  /** `rpc.response.status_code`: the code of a JSON-RPC error. */
  readonly statusCode?: number | undefined;
  /** `mcp.protocol.version`. */
  readonly protocolVersion?: string | undefined;
  /** How many operations ended in each bucket, not cumulated. */
  readonly buckets: readonly number[];
  /** The sum of the durations, in seconds. */
  readonly sum: number;
}

/** How many bytes went where, in UTF-8, without line ends and frame headers. */
export interface ByteFigures {
  /** Received from the client. */
  readonly fromClient: number;
  /** Sent to the client. */
  readonly toClient: number;
  /** Received from the daemon. */
  readonly fromDaemon: number;
  /** Sent to the daemon. */
  readonly toDaemon: number;
}

/** The figures that need a look at every message. */
export interface MessageFigures {
  /** The durations of operations. */
  readonly operations: readonly OperationFigures[];
  /** The bytes in all directions. */
  readonly bytes: ByteFigures;
}
