/**
 * Opens MCP connections, and restores the client's session on a new daemon. The
 * session consists of the client's `initialize`, its `initialized`, its log
 * level and its resource subscriptions. A client of MCP 2026-07-28 has none.
 *
 * @module
 */

import type {
  Handshake,
  Incoming,
  OpeningFrame,
  SessionReplay,
} from "../dialect.ts";
import { prependMember, replaceValue } from "../../json/spans.ts";
import {
  isOpeningMethod,
  LIST_CHANGED_KINDS,
  requestVersionOf,
  usesInitialize,
} from "../../protocol/methods.ts";
import type { OwnRequests } from "./own_requests.ts";
import {
  buildNotification,
  buildRequest,
  ErrorCode,
  getMember,
  type Id,
  type InvalidMessage,
  isRecord,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import { META_KEYS } from "../../protocol/mcp_types.ts";

interface NegotiatedInitialize {
  readonly request: Request;
  /** The protocol version in the result that the client got. */
  readonly version: unknown;
  /** The result's source. If it is `daemon`, the version must not change. */
  readonly source: "daemon" | "cached" | "placeholder";
}

/** The client's negotiated version and its session, for the next daemon. */
export class McpHandshake implements Handshake {
  #negotiated: NegotiatedInitialize | undefined;
  #initializedText: string | undefined;
  #setLevelRequest: Request | undefined;
  readonly #resourceSubscriptions = new Map<string, Request>();
  /** The version that the client's requests name (MCP 2026-07-28), if any. */
  #statelessVersion: string | undefined;

  /** Creates a handshake that adds its requests to `ownRequests`. */
  constructor(private readonly ownRequests: OwnRequests) {}

  /** True if the client names its version in each request (MCP 2026-07-28). */
  get isStateless(): boolean {
    return this.#negotiated === undefined &&
      this.#statelessVersion !== undefined;
  }

  /** Records the version that a request from the client names, if any. */
  onRequest({ params }: Request): void {
    this.#statelessVersion ??= requestVersionOf(params);
  }

  /**
   * Returns a replayed `initialize`, else the client's waiting `initialize` or
   * `server/discover`, else a probe.
   */
  begin(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined {
    if (this.#negotiated !== undefined) {
      const id = this.ownRequests.add(connectionId, { kind: "initialize" });
      return { text: replayInitialize(this.#negotiated, id) };
    }
    let isRequestWaiting = false;
    for (const request of waiting) {
      this.onRequest(request);
      if (isOpeningMethod(request.method)) {
        return { text: request.text, requestId: request.id };
      }
      isRequestWaiting = true;
    }
    // For a stateless client, the link can open although no request waits.
    if (!isRequestWaiting && !this.isStateless) return undefined;
    const id = this.ownRequests.add(connectionId, { kind: "handshake-probe" });
    return { text: this.buildProbeRequest(id) };
  }

  /** Builds a request that every daemon of the client's MCP version answers. */
  buildProbeRequest(id: Id): string {
    return this.isStateless
      ? buildRequest(id, "server/discover", this.requestMeta())
      : buildRequest(id, "ping");
  }

  /** Returns the parameters that each request of a stateless client needs. */
  requestMeta(): { _meta: Record<string, unknown> } {
    return {
      _meta: {
        [META_KEYS.protocolVersion]: this.#statelessVersion,
        [META_KEYS.clientCapabilities]: {},
      },
    };
  }

  buildFinalFrames(): readonly string[] {
    return this.#initializedText === undefined ? [] : [this.#initializedText];
  }

  buildReplay(connectionId: number): SessionReplay {
    const subscriptions = [...this.#resourceSubscriptions.values()];
    const requests = this.#setLevelRequest === undefined
      ? subscriptions
      : [this.#setLevelRequest, ...subscriptions];
    const toDaemon = requests.map(({ method, text }) => {
      const id = this.ownRequests.add(connectionId, { kind: "replay", method });
      return replaceValue(text, ["id"], id);
    });
    // The resources may have changed while no subscription was active.
    const toClient = [...this.#resourceSubscriptions.keys()].map((uri) =>
      buildNotification("notifications/resources/updated", { uri })
    );
    return { toDaemon, toClient };
  }

  onLocalInitialize(
    request: Request,
    response: Response,
    source: "cached" | "placeholder",
    connectionId: number | undefined,
  ): string {
    if (connectionId !== undefined) {
      this.ownRequests.adopt(request.id, connectionId, { kind: "initialize" });
    }
    return this.#negotiate(request, response, source);
  }

  /** Records the client's `initialized`, which every new daemon gets. */
  onInitialized(text: string): void {
    this.#initializedText = text;
  }

  /** Records the result of `initialize`. Returns its text for the client. */
  onInitializeResult(request: Request, response: Response): string {
    return this.#negotiate(request, response, "daemon");
  }

  #negotiate(
    request: Request,
    response: Response,
    source: NegotiatedInitialize["source"],
  ): string {
    const version = getMember(response.result, "protocolVersion");
    this.#negotiated = { request, version, source };
    return withListChanged(response);
  }

  /** Records the session state that a successful client request has set. */
  onSuccess(request: Request): void {
    const { method, params } = request;
    if (method === "logging/setLevel") this.#setLevelRequest = request;
    if (
      method !== "resources/subscribe" && method !== "resources/unsubscribe"
    ) return;
    const uri = getMember(params, "uri");
    if (typeof uri !== "string") return;
    if (method === "resources/subscribe") {
      this.#resourceSubscriptions.set(uri, request);
    } else this.#resourceSubscriptions.delete(uri);
  }

  /** Evaluates the response to the probe that opened a connection. */
  onHandshakeProbeResponse(message: Response | InvalidMessage): Incoming {
    // The proxy has answered the client's `initialize` in the meantime, so the
    // daemon must get an `initialize` too.
    if (this.#negotiated !== undefined) return { kind: "repeat-handshake" };
    // An error also shows that the daemon is alive. The cache gets this error:
    // if the daemon does not know the method, the cached result is out of date.
    const isDiscoverError = this.isStateless && message.kind === "response" &&
      message.error !== undefined;
    if (!isDiscoverError) return { kind: "ready" };
    const request = { method: "server/discover", params: undefined } as const;
    return { kind: "ready", cacheable: { request, response: message } };
  }

  /** Evaluates the response to an `initialize` that no client waits for. */
  onOwnInitializeResponse(
    message: Response | InvalidMessage,
    errorText: string | undefined,
  ): Incoming {
    const negotiated = this.#negotiated!;
    const { request, version: clientMcpVersion, source } = negotiated;
    const rejected = { kind: "rejected", isRefused: false } as const;
    if (message.kind !== "response" || errorText !== undefined) {
      const reason = `the daemon rejected initialize: ${errorText}`;
      // This error means that the daemon no longer supports the version (MCP,
      // lifecycle: error handling). Any other error is temporary.
      const isUnsupported = message.kind === "response" &&
        message.error?.code === ErrorCode.invalidParams;
      const cacheChange = isUnsupported ? { staleInitialize: request } : {};
      return { ...rejected, reason, ...cacheChange };
    }
    const version = getMember(message.result, "protocolVersion");
    const replayedVersion = versionToReplay(negotiated);
    const cacheChange = replayedVersion === requestedVersion(request)
      ? { cacheable: { request, response: message } }
      : version === clientMcpVersion
      ? {}
      : { staleInitialize: request };
    if (version === clientMcpVersion) {
      this.#negotiated = { request, version, source: "daemon" };
      return { kind: "ready", ...cacheChange };
    }
    if (source !== "daemon" && replayedVersion !== clientMcpVersion) {
      const reason =
        `the daemon now answers initialize with MCP ${version}, but ` +
        `the client got ${clientMcpVersion}: the proxy requests ${clientMcpVersion} instead`;
      this.#negotiated = { ...negotiated, source: "placeholder" };
      return { ...rejected, reason, ...cacheChange };
    }
    if (source !== "daemon" && usesInitialize(version)) {
      const problem = `The daemon speaks MCP ${version}, but the client got ` +
        `${clientMcpVersion} from the proxy before the daemon was connected`;
      this.#negotiated = { request, version, source: "daemon" };
      return { kind: "ready", ...cacheChange, problem };
    }
    const reason = `the daemon now speaks MCP ${version}, but this client ` +
      `agreed on ${clientMcpVersion} with the previous daemon: restart this server in the client`;
    return { ...rejected, isRefused: true, reason, ...cacheChange };
  }
}

function replayInitialize(negotiated: NegotiatedInitialize, id: Id): string {
  const text = replaceValue(negotiated.request.text, ["id"], id);
  const version = versionToReplay(negotiated);
  if (typeof version !== "string") return text;
  const path = ["params", "protocolVersion"];
  return replaceValue(text, path, JSON.stringify(version));
}

// If the client got a cached result, the version of its own request is sent
// again, because the daemon may now answer that request differently.
function versionToReplay(
  { request, version, source }: NegotiatedInitialize,
): unknown {
  return source === "cached" ? requestedVersion(request) : version;
}

function requestedVersion({ params }: Request): unknown {
  return getMember(params, "protocolVersion");
}

// After a daemon restart, the proxy itself sends `list_changed` notifications.
// Clients ignore them unless the server has announced them.
function withListChanged(response: Response): string {
  let { text } = response;
  for (const list of LIST_CHANGED_KINDS) {
    const capability = getMember(response.result, "capabilities", list);
    if (!isRecord(capability) || capability.listChanged === true) continue;
    const path = ["result", "capabilities", list];
    text = "listChanged" in capability
      ? replaceValue(text, [...path, "listChanged"], "true")
      : prependMember(text, path, "listChanged", "true");
  }
  return text;
}
