/**
 * The client's open subscriptions (MCP 2026-07-28, `subscriptions/listen`),
 * which outlive the connections that carry them.
 *
 * @module
 */

import { LIST_CHANGED_KINDS } from "../../protocol/lists.ts";
import {
  buildNotification,
  getNested,
  getNestedId,
  type Id,
  type Notification,
  type Request,
} from "../../protocol/jsonrpc.ts";
import {
  META,
  type NameIn,
  type NotificationMethod,
  type Params,
} from "../../protocol/mcp_types.ts";
import { replaceValue } from "../../json/spans.ts";
import { isSubscriptionMethod } from "../../protocol/methods.ts";

const ACKNOWLEDGED =
  "notifications/subscriptions/acknowledged" satisfies NotificationMethod;
const SUBSCRIPTION_ID = META.subscriptionId;

/** What a client can subscribe to. */
type Filtered = NameIn<Params<"subscriptions/listen">["notifications"]>;

/** A subscription. */
interface ListenSubscription {
  /** What the client wants to hear of, or will if less was granted. */
  filter: unknown;
  /** Whether it has seen an acknowledgement. */
  isAcknowledged: boolean;
}

/** The subscriptions by the ids of their requests. */
export class ListenSubscriptions {
  readonly #open = new Map<Id, ListenSubscription>();
  /** The client was told something that the daemon has not said on this day. */
  mayHaveMissedChanges = false;

  /** A request goes out, for the first time or again. */
  onRequest({ id, method, params }: Request): void {
    if (!isSubscriptionMethod(method) || this.#open.has(id)) return;
    const filter = getNested(params, "notifications");
    this.#open.set(id, { filter, isAcknowledged: false });
  }

  /** Whether the daemon has acknowledged a subscription. */
  isAcknowledged(id: Id): boolean {
    return this.#open.get(id)?.isAcknowledged ?? false;
  }

  /** A subscription is over, if there is one of that id. */
  onEnd(id: Id | undefined): void {
    if (id !== undefined) this.#open.delete(id);
  }

  /**
   * What the client hears of a notification: of a subscription that is over
   * nothing, of an acknowledgement once, and for a later one what it may have
   * missed.
   *
   * @param guessClientId the client's id that may be meant by another one
   */
  filterNotification(
    message: Notification,
    guessClientId: (id: Id) => Id | undefined,
  ): Notification[] {
    const daemonId = getNestedId(message, "_meta", SUBSCRIPTION_ID);
    if (daemonId === undefined) {
      return message.method === ACKNOWLEDGED ? [] : [message];
    }
    const id = this.#open.has(daemonId) ? daemonId : guessClientId(daemonId);
    const subscription = id === undefined ? undefined : this.#open.get(id);
    // It is about something that is over.
    if (id === undefined || subscription === undefined) return [];
    const translated = id === daemonId
      ? message
      : withSubscriptionId(message, id);
    if (message.method !== ACKNOWLEDGED) return [translated];
    if (subscription.isAcknowledged) {
      return buildChangeNotifications(id, subscription);
    }
    subscription.isAcknowledged = true;
    subscription.filter = getNested(message.params, "notifications") ??
      subscription.filter;
    return this.mayHaveMissedChanges
      ? [translated, ...buildChangeNotifications(id, subscription)]
      : [translated];
  }
}

/** A notification with the client's own spelling of the subscription's id. */
function withSubscriptionId(message: Notification, id: Id): Notification {
  const path = ["params", "_meta", SUBSCRIPTION_ID];
  return { ...message, text: replaceValue(message.text, path, id) };
}

function buildChangeNotifications(
  id: Id,
  { filter }: ListenSubscription,
): Notification[] {
  const _meta = { [SUBSCRIPTION_ID]: JSON.parse(id) as unknown };
  const uris = getNested(filter, "resourceSubscriptions" satisfies Filtered);
  const updated = (Array.isArray(uris) ? uris as string[] : [])
    .map((uri) => ["notifications/resources/updated", { _meta, uri }] as const);
  const lists = LIST_CHANGED_KINDS
    .filter((list) =>
      getNested(filter, `${list}ListChanged` satisfies Filtered) === true
    )
    .map((list) => [`notifications/${list}/list_changed`, { _meta }] as const);
  return [...lists, ...updated].map(([method, params]) => {
    // An id can be larger than a number can say.
    const path = ["params", "_meta", SUBSCRIPTION_ID];
    const text = replaceValue(buildNotification(method, params), path, id);
    return { kind: "notification", method, params, text };
  });
}
