/**
 * The exai dialect: hello, list_tools, call_tool, progress and health as MCP.
 *
 * The daemon reads one frame at a time from a connection, so that a link has
 * one frame outstanding at most, and what answers nothing else answers that.
 *
 * @module
 */

import { type ListName } from "../../protocol/lists.ts";
import type {
  Closed,
  Dialect,
  Ending,
  Greeting,
  Incoming,
  ProbeFrame,
  Restoration,
  Writing,
} from "../dialect.ts";
import { envelopeOf } from "../../protocol/envelope.ts";
import * as exai from "./frames.ts";
import { piecesOf } from "../../protocol/frames.ts";
import {
  type Call,
  type CallConfig,
  Calls,
  callText,
  error,
  OVER_CAPACITY,
  stray,
  tooLarge,
  toolList,
} from "./calls.ts";
import {
  type Answer,
  Code,
  type Invalid,
  isRecord,
  type Notification,
  type Request,
} from "../../protocol/jsonrpc.ts";
import { jsonIn, membersBeforeBreak } from "../../json/spans.ts";
import type { LinkRole, LinkState } from "../../link/link.ts";
import { localAnswer } from "./local_answers.ts";

/** What the dialect must know; durations in milliseconds. */
export interface ExaiConfig extends CallConfig {
  /** What the daemon may call this client; `undefined` for something random. */
  readonly sessionId: string | undefined;
  /** What the daemon wants to hear in `hello`; empty for nothing. */
  readonly token: string;
  /** The name and version that the client sees. */
  readonly server: { readonly name: string; readonly version: string };
}

/** What a link waits to be answered. */
type Outstanding =
  | { readonly kind: "hello" }
  | { readonly kind: "health"; readonly isProbe: boolean }
  | { readonly kind: "list"; readonly request: Request | undefined }
  | {
    readonly kind: "call";
    readonly request: Request;
    readonly call: Call;
    readonly isPoll: boolean;
  };

/** One connection. */
interface Line {
  outstanding: Outstanding | undefined;
  /** Since when its daemon runs, by our clock and sleep included; `undefined` before it was asked. */
  startedAt: number | "unknown" | undefined;
  origin: number | undefined;
}

/** How many calls run at a time: a link each. */
const CALL_LINKS = 4;
/** For how long the outcome of a call is asked for at least, in milliseconds: the daemon keeps it after the call's own time. */
const ASK_MS = 60_000;
/** How far two accounts of a process's beginning may differ, in seconds: each is rounded to one. */
const ORIGIN_SLACK = 2.5;

/** The op protocol of the EX-AI daemon. */
export class Exai implements Dialect {
  readonly subprotocol: undefined = undefined;
  readonly comparesLists = true;
  readonly poolSize: number = CALL_LINKS;
  readonly server: undefined = undefined;

  readonly #config: ExaiConfig;
  readonly #session: string;
  readonly #lines = new Map<number, Line>();
  readonly #calls: Calls;
  /** The daemon knows `health` and `_call_key`: it is of the first revisions, whose sessions have names of their own. */
  #isFirst = false;
  /** How much time our clock did not count; the daemon's goes on while a laptop sleeps. */
  #unseen = 0;
  /** What the last `health_res` said, as long as its connection lasts. */
  #origin: { epoch: number; value: number | undefined } | undefined;

  /** The ids that the daemon gets carry 64 bits of chance, so that they are nobody else's. */
  constructor(config: ExaiConfig, random: () => number) {
    this.#config = config;
    const word = (): string =>
      Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0");
    const chance = word() + word();
    this.#calls = new Calls(`${chance}:`, config);
    // Two editors may have one name in their configurations.
    this.#session = `${config.sessionId ?? "alwaysup"}-${chance.slice(0, 8)}`;
  }

  local(request: Request): string | undefined {
    return localAnswer(request, this.#config.server);
  }

  place(message: Request | Notification): LinkRole {
    return message.method === "tools/call" ? "pool" : "main";
  }

  isFree(epoch: number): boolean {
    return this.#lines.get(epoch)?.outstanding === undefined;
  }

  isAsking(epoch: number): boolean {
    const outstanding = this.#lines.get(epoch)?.outstanding;
    return outstanding?.kind === "health" && !outstanding.isProbe ||
      outstanding?.kind === "list" && outstanding.request === undefined;
  }

  /** What the daemon gets are ids of the proxy's own. */
  useClientIds(): void {}

  /** On a connection nothing is written beside what is outstanding. */
  unanswered(): [] {
    return [];
  }

  isUnanswered(): false {
    return false;
  }

  hasAcknowledged(): false {
    return false;
  }

  greet(epoch: number): Greeting {
    const line: Line = {
      outstanding: { kind: "hello" },
      startedAt: undefined,
      origin: undefined,
    };
    this.#lines.set(epoch, line);
    const { token } = this.#config;
    const session_id = this.#sessionOf(epoch);
    return { text: JSON.stringify({ op: "hello", session_id, token }) };
  }

  /** Later revisions keep their books by session, and a link's end must not close another's. */
  #sessionOf(epoch: number): string {
    return `${this.#session}-${epoch}`;
  }

  greeted(): [] {
    return [];
  }

  restore(): Restoration {
    return { toDaemon: [], toClient: [] };
  }

  write(
    epoch: number,
    message: Request | Notification,
    now: number,
  ): Writing {
    const line = this.#lines.get(epoch);
    if (line === undefined || message.kind === "notification") {
      return { kind: "lost" };
    }
    if (message.method !== "tools/call") {
      line.outstanding = { kind: "list", request: message };
      return { kind: "frame", text: LIST };
    }
    const call = this.#calls.find(message) ?? this.#calls.open(message);
    if (call.sentAt !== undefined && line.startedAt === undefined) {
      const asked = this.#lines.get(call.askedOn ?? -1)?.outstanding;
      if (asked?.kind === "health") return { kind: "wait" };
      call.askedOn = epoch;
      line.outstanding = { kind: "health", isProbe: false };
      return { kind: "ask", text: HEALTH };
    }
    const isPoll = call.sentAt !== undefined;
    if (isPoll && !isSameProcess(line, call)) return { kind: "lost" };
    line.outstanding = { kind: "call", request: message, call, isPoll };
    if (!isPoll) {
      call.sentAt = now + this.#unseen;
      call.origin = this.#origin?.value;
    }
    // Without a key of its own the daemon takes equal arguments, of any client, for the same call.
    const text = callText(message, call, this.#isFirst ? "keyed" : "plain");
    return { kind: "frame", text };
  }

  decode(epoch: number, text: string, now: number): Incoming[] {
    const { found, others, isCut } = piecesOf(text, exai.isFrame);
    const incoming: Incoming[] = [];
    for (const { text, value } of found) {
      if (!isRecord(value)) {
        incoming.push(NO_FRAME);
        continue;
      }
      const { value: frame } = envelopeOf(value, text);
      // Beside other text only an object with an op counts.
      const isMeant = others.length === 0 || typeof frame.op === "string";
      if (isMeant) incoming.push(...this.#frame(epoch, frame, text, now));
    }
    for (const other of others) {
      incoming.push(...this.#broken(epoch, other, now));
    }
    if (isCut || found.length + others.length === 0) incoming.push(NO_FRAME);
    return incoming;
  }

  /** What is no JSON (Python writes NaN and Infinity): it answers what is outstanding, if it has begun as the answer to that. */
  #broken(epoch: number, text: string, now: number): Incoming[] {
    const line = this.#lines.get(epoch);
    const outstanding = line?.outstanding;
    if (line === undefined || outstanding === undefined) return [NO_FRAME];
    const members = membersBeforeBreak(text);
    const value = (name: string): unknown => jsonIn(members.get(name) ?? "");
    const op = value("op");
    if (outstanding.kind === "health" && op === "health_res") {
      return this.#healthy(epoch, line, outstanding, { op }, now);
    }
    const isAnswer = outstanding.kind === "list" && op === "list_tools_res" ||
      outstanding.kind === "call" && op === "call_tool_res" &&
        value("request_id") === outstanding.call.wire;
    if (!isAnswer) return [NO_FRAME];
    line.outstanding = undefined;
    const reason = "it is not JSON";
    const trouble = `The daemon did not list its tools: ${reason}`;
    return outstanding.request === undefined
      ? [{ kind: "own", trouble }]
      : [{ ...NO_FRAME, id: outstanding.request.id, reason }];
  }

  #frame(
    epoch: number,
    frame: Record<string, unknown>,
    text: string,
    now: number,
  ): Incoming[] {
    const line = this.#lines.get(epoch);
    const outstanding = line?.outstanding;
    if (line === undefined || outstanding === undefined) return stray(frame);
    switch (outstanding.kind) {
      case "hello":
        return this.#greeted(epoch, line, frame);
      case "health":
        return this.#healthy(epoch, line, outstanding, frame, now);
      case "list":
        return this.#listed(line, outstanding.request, frame, text);
      case "call":
        return this.#called(line, outstanding, frame, text.length);
    }
  }

  #called(
    line: Line,
    { request, call, isPoll }: Extract<Outstanding, { kind: "call" }>,
    frame: Record<string, unknown>,
    size: number,
  ): Incoming[] {
    const purpose = isPoll ? "poll" : "call";
    const meaning = this.#calls.hear(request, call, purpose, frame, size);
    if (meaning.isOver) line.outstanding = undefined;
    return meaning.incoming;
  }

  #greeted(
    epoch: number,
    line: Line,
    frame: Record<string, unknown>,
  ): Incoming[] {
    if (frame.op === "hello_ack" && frame.ok === true) {
      line.outstanding = undefined;
      this.#isFirst = frame.session_id !== this.#sessionOf(epoch);
      if (!this.#isFirst) line.startedAt = "unknown";
      return [{ kind: "ready" }];
    }
    if ("jsonrpc" in frame) {
      const reason = "it speaks MCP, not exai: set --dialect mcp";
      const cause = "other dialect";
      return [{ kind: "rejected", reason, refused: false, cause }];
    }
    if (frame.op !== "hello_ack" && !exai.isFailure(frame)) return stray(frame);
    const { code, message, isUnauthorized: refused } = exai.errorOf(frame);
    const why = code === "" ? message : `${code}: ${message}`;
    if (!refused) {
      const reason = `it rejected hello: ${why}`;
      return [{ kind: "rejected", reason, refused }];
    }
    const cause = "token refused";
    return [{ kind: "rejected", reason: refusal(why), refused, cause }];
  }

  #healthy(
    epoch: number,
    line: Line,
    { isProbe }: Extract<Outstanding, { kind: "health" }>,
    frame: Record<string, unknown>,
    now: number,
  ): Incoming[] {
    if (frame.op !== "health_res" && !this.#isBare(frame)) return stray(frame);
    line.outstanding = undefined;
    const uptime = exai.uptimeOf(frame);
    // It may have begun almost a second earlier, for the uptime is rounded down.
    line.startedAt = uptime === undefined
      ? "unknown"
      : now + this.#unseen - uptime.ms;
    line.origin = uptime?.origin;
    this.#origin = { epoch, value: line.origin };
    return [isProbe ? { kind: "pong", id: HEALTH } : { kind: "own" }];
  }

  #listed(
    line: Line,
    request: Request | undefined,
    frame: Record<string, unknown>,
    text: string,
  ): Incoming[] {
    const isList = frame.op === "list_tools_res";
    if (!isList && !this.#isBare(frame)) return stray(frame);
    line.outstanding = undefined;
    const asked = request ?? { id: "0" };
    const answer = isList ? toolList(asked, frame, text) : undefined;
    if (answer !== undefined) {
      if (request === undefined) {
        return [{ kind: "page", list: "tools", cursor: undefined, answer }];
      }
      const { length } = text;
      return length > this.#config.maxMessage
        ? tooLarge(request, length)
        : [answer];
    }
    const { code, message, retryMs } = exai.errorOf(frame);
    const trouble = `The daemon did not list its tools: ${message}`;
    if (request === undefined) return [{ kind: "own", trouble }];
    const { id } = request;
    if (code !== OVER_CAPACITY) return [error(request, Code.internal, trouble)];
    return [{ kind: "later", id, ms: retryMs, isUntouched: true }];
  }

  /** An error that names no call of ours answers the frame that is outstanding. */
  #isBare(frame: Record<string, unknown>): boolean {
    return exai.isFailure(frame) && !this.#calls.isOurs(frame.request_id);
  }

  note(): "ends here" {
    return "ends here";
  }

  askingMs(request: Request, now: number): number | undefined {
    const call = this.#calls.find(request);
    if (!this.#isFirst || call?.sentAt === undefined) return undefined;
    const ageMs = now + this.#unseen - call.sentAt;
    return Math.max(call.limitMs - ageMs, ASK_MS);
  }

  anew(request: Request): void {
    this.#calls.renew(request);
  }

  answered(_: Request, answer: Answer): string {
    return answer.text;
  }

  probe(epoch: number): ProbeFrame | undefined {
    const line = this.#lines.get(epoch);
    if (line === undefined || line.outstanding !== undefined) return undefined;
    line.outstanding = { kind: "health", isProbe: true };
    // One at a time, so that it needs no name of its own.
    return { id: HEALTH, text: HEALTH };
  }

  /** If the client's own question is under way, it will know the answer anyway. */
  list(epoch: number, list: ListName): string | undefined {
    const line = this.#lines.get(epoch);
    if (line === undefined || line.outstanding !== undefined) return undefined;
    if (list !== "tools") return undefined;
    line.outstanding = { kind: "list", request: undefined };
    return LIST;
  }

  /** The daemon has no op for it. */
  cancel(): undefined {
    return undefined;
  }

  ending(
    epoch: number,
    { code, status, reason }: Closed,
    phase: LinkState["phase"],
  ): Ending {
    if (status === 401 || status === 403) {
      const advice = `it refuses us with HTTP ${status}: check --header`;
      return { reason: advice, refused: true, cause: "refused" };
    }
    const isGreeting = this.#lines.get(epoch)?.outstanding?.kind === "hello";
    if (code === 4003 && phase !== "ready") {
      const cause = "token refused";
      return { reason: refusal(reason), refused: true, cause };
    }
    const why = isGreeting ? UNGREETED[code] : undefined;
    if (why === undefined) return { reason, refused: false };
    return { reason: `${why} (${reason})`, refused: false };
  }

  served(): void {}

  introduced(_: Request, answer: string): string {
    return answer;
  }

  slept(ms: number): void {
    this.#unseen += ms;
    for (const line of this.#lines.values()) {
      if (line.outstanding?.kind !== "health") continue;
      // What answers it may have come before the sleep, and is no sign of life.
      line.outstanding = { kind: "health", isProbe: false };
    }
  }

  lost(epoch: number): void {
    this.#lines.delete(epoch);
    if (this.#origin?.epoch === epoch) this.#origin = undefined;
  }
}

/** What a frame is that the dialect does not know. */
const NO_FRAME: Invalid = {
  kind: "invalid",
  id: undefined,
  like: "answer",
  reason: "a frame must be a JSON object",
};
const HEALTH = '{"op":"health"}';
const LIST = '{"op":"list_tools"}';

/** What a close code says before hello was answered. */
const UNGREETED: Readonly<Record<number, string>> = {
  1000: "it has too many sessions (SESSION_MAX_CONCURRENT) or did not take " +
    "hello for one",
  1008: "it takes no further connection from here (MAX_CONNECTIONS)",
  4000: "it could not read hello: is it an exai daemon?",
  4001: "it did not know hello: is it an exai daemon?",
  4002: "it waited for hello in vain",
};

function refusal(why: string): string {
  return `it refuses our token (${why}): check EXAI_WS_TOKEN, ALWAYSUP_TOKEN ` +
    "or --token-file against the daemon's";
}

/** It began before the call was written, by every account there is. */
function isSameProcess(
  { startedAt, origin }: Line,
  call: Call,
): boolean {
  const { sentAt } = call;
  if (typeof startedAt !== "number" || sentAt === undefined) return false;
  if (startedAt > sentAt) return false;
  return origin === undefined || call.origin === undefined ||
    Math.abs(origin - call.origin) <= ORIGIN_SLACK;
}
