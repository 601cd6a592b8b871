/**
 * The MCP dialect: frames are the messages, and a new daemon is brought to
 * where the old one was (initialize, initialized, log level, subscriptions).
 *
 * @module
 */

import { emptied, type Listing, methodOf } from "../../protocol/lists.ts";
import type {
  ClientIdRules,
  Closed,
  Dialect,
  Ending,
  Greeting,
  Incoming,
  Learned,
  ProbeFrame,
  Restoration,
  Told,
  Writing,
} from "../dialect.ts";
import type { LinkRole, LinkState } from "../../link/link.ts";
import { read, readFrame } from "../../protocol/envelope.ts";
import { type Agreement, announce, judge, replay } from "./handshake.ts";
import { replace } from "../../json/spans.ts";
import { Listens } from "./subscriptions.ts";
import { PROBE_LIMIT } from "../../link/liveness.ts";
import { serverOf, versionOf } from "../../cache/cache.ts";
import { otherType } from "../../protocol/id_types.ts";
import {
  type Answer,
  Code,
  dig,
  digId,
  type Id,
  type Invalid,
  isInitialized,
  isRecord,
  type Message,
  type Notification,
  notification,
  type Request,
  request,
  success,
} from "../../protocol/jsonrpc.ts";
import {
  META,
  type Method,
  type Params,
  type RequestMethod,
} from "../../protocol/mcp_types.ts";
import { isOpening } from "../../protocol/methods.ts";

/** What one of the proxy's own requests was for. */
type Purpose =
  | { readonly kind: "initialize" }
  | { readonly kind: "opening probe" }
  | { readonly kind: "probe" }
  | { readonly kind: "replay"; readonly method: RequestMethod }
  | {
    readonly kind: "list";
    readonly list: Listing;
    readonly cursor: string | undefined;
  };

/** A request of the proxy's own that is not answered. */
interface Own {
  readonly epoch: number;
  readonly purpose: Purpose;
  /** A later probe was answered. */
  isOvertaken?: true;
}

/** The requests that have no result but an empty one: whatever stands there says that it was done. SDK clients take an object only. */
const EMPTY: readonly Method[] = [
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
];

/** The ids of the proxy's own requests: from 2^30, so many. */
const LEAST_ID = 2 ** 30;
const ID_COUNT = 2 ** 30;

/** What an exai daemon says when it closes because the first frame was no hello. */
const EXAI_WORDS = /missing hello|unrecognized protocol/;

/** MCP over WebSocket, one JSON-RPC message per text frame; the revisions up to 2025-11-25. */
export class Mcp implements Dialect {
  readonly subprotocol = "mcp";
  readonly poolSize = 0;

  /** Who names a version subscribes to changes, and hears of them after a reconnect. */
  get comparesLists(): boolean {
    return !this.#isStateless;
  }

  get server(): string | undefined {
    return this.#server;
  }

  get #isStateless(): boolean {
    return this.#agreed === undefined && this.#version !== undefined;
  }

  readonly #random: () => number;
  #count = 0;
  #clientIds: ClientIdRules = {
    isOpen: () => false,
    meant: () => undefined,
    sawRetyped: () => {},
  };
  #server: string | undefined;
  readonly #own = new Map<Id, Own>();
  #agreed: Agreement | undefined;
  #initialized: string | undefined;
  #level: string | undefined;
  readonly #subscriptions = new Map<string, string>();
  /** The version that the client's requests name, if they do: then there is no conversation to replay (MCP 2026-07-28). */
  #version: string | undefined;
  readonly #listens = new Listens();

  /** The ids of the proxy's own requests are random, so that hardly ever a client's id meets them. */
  constructor(random: () => number) {
    this.#random = random;
  }

  useClientIds(ids: ClientIdRules): void {
    this.#clientIds = ids;
  }

  /** A client may end a server that leaves its ping unanswered (MCP, utilities/ping; MCP 2026-07-28 knows none). */
  local(
    { id, method, params }: Request,
    daemon: "up" | "down",
  ): string | undefined {
    const isOurs = method === "ping" && daemon === "down" &&
      versionOf(params) === undefined;
    return isOurs ? success(id, {}) : undefined;
  }

  /**
   * The client's own `initialize`; on a later link its replay with the version
   * that was agreed; for a client that opens with something else, a ping.
   */
  greet(epoch: number, waiting: Iterable<Request>): Greeting | undefined {
    if (this.#agreed !== undefined) {
      const id = this.#id(epoch, { kind: "initialize" });
      return { text: replay(this.#agreed, id) };
    }
    let isWanted = false;
    for (const request of waiting) {
      this.#version ??= versionOf(request.params);
      if (isOpening(request.method)) {
        return { text: request.text, request: request.id };
      }
      isWanted = true;
    }
    // Who names a version on every request need not have one that waits.
    if (!isWanted && this.#version === undefined) return undefined;
    const id = this.#id(epoch, { kind: "opening probe" });
    return { text: this.#sign(id) };
  }

  /** What any living daemon of the client's era answers. */
  #sign(id: Id): string {
    return this.#isStateless
      ? request(id, "server/discover", this.#meta())
      : request(id, "ping");
  }

  #meta(): { _meta: Record<string, unknown> } {
    return {
      _meta: {
        [META.protocolVersion]: this.#version,
        [META.clientCapabilities]: {},
      },
    };
  }

  greeted(): readonly string[] {
    return this.#initialized === undefined ? [] : [this.#initialized];
  }

  restore(epoch: number): Restoration {
    const toDaemon: string[] = [];
    if (this.#level !== undefined) {
      toDaemon.push(this.#again(epoch, "logging/setLevel", this.#level));
    }
    const toClient: string[] = [];
    for (const [uri, text] of this.#subscriptions) {
      toDaemon.push(this.#again(epoch, "resources/subscribe", text));
      // It may have changed while nobody was subscribed.
      toClient.push(notification("notifications/resources/updated", { uri }));
    }
    return { toDaemon, toClient };
  }

  place(): LinkRole {
    return "main";
  }

  isFree(): boolean {
    return true;
  }

  write(_: number, message: Request | Notification): Writing {
    if (message.kind === "request") {
      // The daemon's answer to ours would be taken for the one to this.
      if (this.#ownId(message.id) !== undefined) return { kind: "wait" };
      this.#version ??= versionOf(message.params);
      this.#listens.asked(message);
    }
    return { kind: "frame", text: message.text };
  }

  decode(epoch: number, text: string): Incoming[] {
    return readFrame(text).flatMap((message) =>
      message.kind === "notification"
        ? this.#listens.heard(message, (id) => this.#clientIds.meant(id))
        : [this.#meaning(epoch, message)]
    );
  }

  #meaning(epoch: number, message: Message): Incoming {
    if (message.kind !== "answer" && message.kind !== "invalid") return message;
    const id = this.#ownId(message.id);
    const own = id === undefined ? undefined : this.#own.get(id);
    if (id === undefined || own?.epoch !== epoch) return message;
    this.#close(id, epoch, own.purpose);
    if (id !== message.id) this.#clientIds.sawRetyped();
    const trouble = message.kind === "invalid"
      ? message.reason
      : message.error?.message;
    const { purpose } = own;
    switch (purpose.kind) {
      case "probe":
        return { kind: "pong", id };
      case "opening probe":
        // The client has been told who the daemon is since, and that must hear of the client.
        if (this.#agreed !== undefined) return { kind: "greet again" };
        // An error, too, is a sign of life.
        return { kind: "ready", ...this.#undiscovered(message) };
      case "initialize": {
        if (message.kind === "answer") this.#meet(message);
        const { meaning, agreed } = judge(this.#agreed!, message, trouble);
        this.#agreed = agreed;
        return meaning;
      }
      case "replay":
        if (trouble === undefined) return { kind: "own" };
        return {
          kind: "own",
          trouble:
            `The daemon did not take ${purpose.method} again: ${trouble}`,
        };
      case "list":
        return listed(purpose, message, trouble);
    }
  }

  /** The id of an open request of the proxy's own that the daemon means, also as the other JSON type. */
  #ownId(id: Id | undefined): Id | undefined {
    if (id === undefined || this.#own.has(id)) return id;
    if (this.#own.size === 0) return undefined;
    const other = otherType(id);
    return other !== undefined && this.#own.has(other) ? other : undefined;
  }

  /** A request of the proxy's own is answered; if it is a probe, those before it need no answer any more. */
  #close(id: Id, epoch: number, { kind }: Purpose): void {
    for (const [before, own] of kind === "probe" ? this.#own : []) {
      if (before === id) break;
      const isProbe = own.epoch === epoch && own.purpose.kind === "probe";
      if (isProbe) own.isOvertaken = true;
    }
    this.#own.delete(id);
  }

  /** A daemon without `server/discover` is not the one that is remembered. */
  #undiscovered(answer: Message): { learned?: Learned } {
    if (!this.#isStateless || answer.kind !== "answer" || !answer.error) {
      return {};
    }
    const request = { method: "server/discover", params: undefined } as const;
    return { learned: { request, answer } };
  }

  note(notification: Notification): "carried" | "replayed" {
    if (notification.method === "notifications/cancelled") {
      this.#listens.ended(digId(notification, "requestId"));
    }
    if (!isInitialized(notification.method)) return "carried";
    this.#initialized = notification.text;
    return "replayed";
  }

  askingMs(): undefined {
    return undefined;
  }

  anew(): void {}

  answered(request: Request, answer: Answer): string {
    this.#listens.ended(request.id);
    if (answer.error !== undefined) return answer.text;
    if (EMPTY.includes(request.method) && !isRecord(answer.result)) {
      answer = { ...answer, text: replace(answer.text, ["result"], "{}") };
    }
    const uri = isRecord(request.params) ? request.params.uri : undefined;
    switch (request.method) {
      case "initialize": {
        const version = dig(answer.result, "protocolVersion");
        this.#agreed = { request, version, source: "daemon" };
        this.#meet(answer);
        return announce(answer);
      }
      case "server/discover":
        this.#meet(answer);
        break;
      case "logging/setLevel":
        this.#level = request.text;
        break;
      case "resources/subscribe":
        if (typeof uri === "string") this.#subscriptions.set(uri, request.text);
        break;
      case "resources/unsubscribe":
        if (typeof uri === "string") this.#subscriptions.delete(uri);
        break;
    }
    return answer.text;
  }

  /** Takes note of who the daemon says that it is. */
  #meet({ result }: Answer): void {
    this.#server = serverOf(result) ?? this.#server;
  }

  probe(epoch: number): ProbeFrame {
    const unanswered = [...this.#own].filter(([, own]) =>
      own.epoch === epoch && own.purpose.kind === "probe"
    );
    // A daemon may never answer any.
    if (unanswered.length >= PROBE_LIMIT) this.#own.delete(unanswered[0]![0]);
    const id = this.#id(epoch, { kind: "probe" });
    return { id, text: this.#sign(id) };
  }

  list(epoch: number, list: Listing, cursor?: string): string {
    const page = cursor === undefined ? undefined : { cursor };
    const params = this.#isStateless ? { ...page, ...this.#meta() } : page;
    const purpose = { kind: "list", list, cursor } as const;
    return this.#ask(epoch, purpose, methodOf(list), params);
  }

  cancel(id: Id, reason: string): string {
    const params = { requestId: 0, reason };
    const text = notification("notifications/cancelled", params);
    // An id can be larger than a number can say.
    return replace(text, ["params", "requestId"], id);
  }

  /** RFC 6455 section 7.4.1: 1008 is a policy violation; MCP daemons close with it where HTTP would say 401. */
  ending(
    _: number,
    { code, status, reason, said = "" }: Closed,
    phase: LinkState["phase"],
  ): Ending {
    const advice =
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header";
    if (status === 401 || status === 403) {
      const refusal = `it refuses us with HTTP ${status}: ${advice}`;
      return { reason: refusal, refused: true, cause: "refused" };
    }
    if (code === 4001 && EXAI_WORDS.test(said)) {
      const advice = "it speaks exai, not MCP: set --dialect exai";
      return { reason: advice, refused: false, cause: "other dialect" };
    }
    if (code !== 1008 || phase === "ready") return { reason, refused: false };
    const refusal = "it closed the connection with code 1008 (policy " +
      `violation): ${advice}`;
    return { reason: refusal, refused: true };
  }

  isAsking(epoch: number): boolean {
    for (const own of this.#own.values()) {
      if (own.epoch === epoch && own.purpose.kind !== "probe") return true;
    }
    return false;
  }

  hasAcknowledged(id: Id): boolean {
    return this.#listens.isAcknowledged(id);
  }

  isUnanswered(id: Id): boolean {
    return this.#own.has(id);
  }

  unanswered(epoch: number): Id[] {
    return [...this.#own].flatMap(([id, own]) =>
      own.epoch === epoch && !own.isOvertaken ? id : []
    );
  }

  served({ params }: Request): void {
    this.#version ??= versionOf(params);
    this.#listens.hasMissed = true;
  }

  introduced(
    request: Request,
    answer: string,
    { version, source }: Told,
    epoch: number | undefined,
  ): string {
    this.#agreed = { request, version, source };
    if (epoch !== undefined) {
      this.#own.set(request.id, { epoch, purpose: { kind: "initialize" } });
    }
    const [message] = read(answer);
    return message?.kind === "answer" ? announce(message) : answer;
  }

  slept(): void {}

  lost(epoch: number): void {
    for (const [id, own] of this.#own) {
      if (own.epoch === epoch) this.#own.delete(id);
    }
  }

  /** A whole number of 31 bits: bridges read ids as numbers, cut them, and take texts apart. The count ends the loop whatever `random` gives. */
  #id(epoch: number, purpose: Purpose): Id {
    let id: Id;
    do {
      const chance = Math.floor(this.#random() * ID_COUNT);
      id = `${LEAST_ID + (chance + this.#count++) % ID_COUNT}`;
    } while (this.#own.has(id) || this.#clientIds.isOpen(id));
    this.#own.set(id, { epoch, purpose });
    return id;
  }

  #ask<Asked extends RequestMethod>(
    epoch: number,
    purpose: Purpose,
    method: Asked,
    params?: Params<Asked>,
  ): string {
    return request(this.#id(epoch, purpose), method, params);
  }

  #again(epoch: number, method: RequestMethod, text: string): string {
    return replace(text, ["id"], this.#id(epoch, { kind: "replay", method }));
  }
}

/** What an answer to the question for a page means. */
function listed(
  { list, cursor }: Extract<Purpose, { kind: "list" }>,
  message: Answer | Invalid,
  trouble: string | undefined,
): Incoming {
  const { id } = message;
  if (message.kind === "answer" && id !== undefined) {
    const page = { kind: "page", list, cursor } as const;
    const { error } = message;
    if (error === undefined) return { ...page, answer: message };
    if (error.code === Code.methodNotFound) {
      return { ...page, answer: emptied({ ...message, id }, list) };
    }
  }
  return { kind: "unlisted", list, trouble: trouble ?? "no reason given" };
}
