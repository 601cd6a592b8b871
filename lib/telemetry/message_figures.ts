/**
 * Counts bytes, and the durations of operations by their attributes. All
 * attributes are bounded: a client or a daemon cannot make the figures grow
 * without limit.
 *
 * @module
 */

import {
  type ByteFigures,
  DURATION_BOUNDS,
  type MessageFigures,
  type OperationFigures,
} from "./figures.ts";
import type { Redactor } from "../config/secrets.ts";
import { cutWord } from "../protocol/methods.ts";
import type { Direction } from "../events.ts";
import type {
  ObservedMessage,
  OpenOperation,
  OperationEnd,
  TelemetrySink,
} from "./message_observer.ts";

/** The value of an attribute that has too many values already. */
export const OTHER = "other";
/** How many tools, and how many prompts, have figures of their own. */
const MAX_NAMES = 200;
const MAX_METHODS = 50;
const MAX_STATUS_CODES = 50;
const MAX_VERSIONS = 10;
/** How many combinations of attributes have figures of their own. */
const MAX_SERIES = 1_000;

/** The member of {@linkcode ByteFigures} for each direction. */
const BYTES_OF = {
  "from-client": "fromClient",
  "to-client": "toClient",
  "from-daemon": "fromDaemon",
  "to-daemon": "toDaemon",
} as const satisfies Record<Direction, keyof ByteFigures>;

/** The first values of an attribute; every later one is {@linkcode OTHER}. */
class BoundedValues {
  readonly #values = new Set<string>();

  constructor(
    private readonly limit: number,
    private readonly redact: Redactor,
  ) {}

  /** Returns a value as a label; an empty one is none, as in Prometheus. */
  bound(text: string | undefined): string | undefined {
    // A text file cannot contain half of a surrogate pair.
    const value = text && cutWord(this.redact(text)).toWellFormed();
    if (!value) return undefined;
    if (this.#values.has(value)) return value;
    if (this.#values.size >= this.limit) return OTHER;
    this.#values.add(value);
    return value;
  }
}

/** The attributes of an operation. */
type Attributes = Omit<OperationFigures, "buckets" | "sum">;

interface Series {
  readonly attributes: Attributes;
  readonly buckets: number[];
  sum: number;
}

/** The figures that need a look at every message. */
export class MessageCounter implements TelemetrySink {
  readonly #bytes = { fromClient: 0, toClient: 0, fromDaemon: 0, toDaemon: 0 };
  readonly #series = new Map<string, Series>();
  readonly #methods: BoundedValues;
  readonly #tools: BoundedValues;
  readonly #prompts: BoundedValues;
  readonly #statusCodes: BoundedValues;
  readonly #versions: BoundedValues;

  /** Creates figures without operations; `redact` removes secrets. */
  constructor(redact: Redactor) {
    this.#methods = new BoundedValues(MAX_METHODS, redact);
    this.#tools = new BoundedValues(MAX_NAMES, redact);
    this.#prompts = new BoundedValues(MAX_NAMES, redact);
    this.#statusCodes = new BoundedValues(MAX_STATUS_CODES, redact);
    this.#versions = new BoundedValues(MAX_VERSIONS, redact);
  }

  /** Counts the bytes of a message. */
  onMessage({ direction, bytes }: ObservedMessage): void {
    this.#bytes[BYTES_OF[direction]] += bytes;
  }

  /** Counts an operation on both of its sides. */
  onOperationEnd(
    operation: OpenOperation,
    end: OperationEnd,
    now: number,
  ): void {
    const attributes = this.#attributesOf(operation, end);
    const { startedAt, sentAt } = operation;
    this.#count({ side: "server", ...attributes }, now - startedAt);
    if (sentAt === undefined) return;
    this.#count({ side: "client", ...attributes }, now - sentAt);
  }

  #attributesOf(
    { request, name, protocolVersion }: OpenOperation,
    { errorType, statusCode }: OperationEnd,
  ): Omit<Attributes, "side"> {
    const method = this.#methods.bound(request.method) ?? OTHER;
    const names = method === "tools/call" ? this.#tools : this.#prompts;
    const isCodeKnown = statusCode === undefined ||
      this.#statusCodes.bound(`${statusCode}`) !== OTHER;
    return {
      method,
      name: names.bound(name),
      errorType: isCodeKnown ? errorType : OTHER,
      statusCode: isCodeKnown ? statusCode : undefined,
      protocolVersion: this.#versions.bound(protocolVersion),
    };
  }

  #count(attributes: Attributes, ms: number): void {
    const { side, errorType } = attributes;
    const other = { side, method: OTHER, errorType: errorType && OTHER };
    const series = this.#seriesOf(attributes, MAX_SERIES) ??
      this.#seriesOf(other, Infinity)!;
    const seconds = ms / 1000;
    series.buckets[bucketOf(seconds)]!++;
    series.sum += seconds;
  }

  /** Returns the series; undefined if `limit` is reached and it is new. */
  #seriesOf(attributes: Attributes, limit: number): Series | undefined {
    const key = keyOf(attributes);
    const known = this.#series.get(key);
    if (known !== undefined || this.#series.size >= limit) return known;
    const series = { attributes, buckets: emptyBuckets(), sum: 0 };
    this.#series.set(key, series);
    return series;
  }

  /** Returns the figures until now. */
  snapshot(): MessageFigures {
    return {
      operations: [...this.#series.values()].map(
        ({ attributes, buckets, sum }) => ({ ...attributes, buckets, sum }),
      ),
      bytes: this.#bytes,
    };
  }
}

function keyOf(
  { side, method, name, errorType, statusCode, protocolVersion }: Attributes,
): string {
  return JSON.stringify(
    [side, method, name, errorType, statusCode, protocolVersion],
  );
}

/** Returns one zero for each bucket. */
export function emptyBuckets(): number[] {
  return new Array(DURATION_BOUNDS.length + 1).fill(0);
}

/** Returns the number of the bucket of a duration. */
export function bucketOf(seconds: number): number {
  const at = DURATION_BOUNDS.findIndex((bound) => seconds <= bound);
  return at === -1 ? DURATION_BOUNDS.length : at;
}
