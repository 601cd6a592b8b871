/**
 * The timeouts of a request, from its model provider's settings or the general
 * settings.
 *
 * @module
 */

import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import {
  getMember,
  isRecord,
  type OutboundMessage,
} from "../protocol/jsonrpc.ts";

/** A timeout with its source. */
export interface Timeout {
  /** The name of the setting, for error messages. */
  readonly setting: string;
  /** The length in milliseconds; `Infinity` for no timeout. */
  readonly ms: number;
}

/** The timeouts of one request. */
export interface Timeouts {
  /** From the arrival of the request to the response; `undefined` for none. */
  readonly total: Timeout | undefined;
  /** How long the daemon may show no sign that it works on the request. */
  readonly idle: Timeout;
}

/** A model provider with the timeouts of its calls; `Infinity` for none. */
export interface Provider {
  /** The name, as in `<NAME>_STREAM_TIMEOUT`. */
  readonly name: string;
  /** The total timeout in milliseconds. */
  readonly total: number;
  /** The idle timeout in milliseconds. */
  readonly idle: number;
}

/** The timeout settings, in milliseconds; `Infinity` for no timeout. */
export interface TimeoutConfig {
  /** The total timeout of each request. */
  readonly requestTimeout: number;
  /** The idle timeout of each request. */
  readonly idleTimeout: number;
  /** The providers, whose timeouts replace the general ones for their calls. */
  readonly providers: readonly Provider[];
}

/** Patterns for providers whose name is not the only prefix of their models. */
const PROVIDER_PREFIXES: Readonly<Record<string, RegExp>> = {
  GLM: /^(glm(?![a-z])|zhipu)/i, //     glm-4.6, glm_web_search, zhipuai
  KIMI: /^(kimi(?![a-z])|moonshot)/i, // kimi-k2, kimi_chat_with_tools, moonshot-v1-8k
};

/** A provider with the pattern for its models and tools. */
interface ProviderRule extends Provider {
  readonly pattern: RegExp;
}

/** Decides which timeouts a message has. */
export class TimeoutRules {
  /** The providers, longest name first (`GLM_AIR` before `GLM`). */
  readonly #providers: readonly ProviderRule[];
  /** The timeouts of most messages, which no provider changes. */
  readonly #general: Timeouts;
  /** Those of notifications and of `server/discover`. */
  readonly #withoutTotal: Timeouts;
  readonly #subscription: Timeouts;

  /** Prepares the rules, because each message is checked against them. */
  constructor(config: TimeoutConfig) {
    this.#providers = config.providers
      .toSorted((a, b) => b.name.length - a.name.length)
      .map((provider) => ({ ...provider, pattern: prefixOf(provider.name) }));
    const total = { setting: "--request-timeout", ms: config.requestTimeout };
    const idle = { setting: "--idle-timeout", ms: config.idleTimeout };
    this.#general = { total: limited(total), idle };
    // A long-lived request waits until there is a daemon. An error would end a
    // subscription, or suggest that the daemon has an older protocol version.
    this.#withoutTotal = { total: undefined, idle };
    // A subscription gets its response only when it ends.
    this.#subscription = { total: undefined, idle: { ...idle, ms: Infinity } };
  }

  /** Returns the timeouts of a message: the provider's, else the general ones. */
  timeoutsOf({ kind, method, params }: OutboundMessage): Timeouts {
    if (kind === "notification") return this.#withoutTotal;
    if (method === "tools/call") {
      if (this.#providers.length === 0 || !isRecord(params)) {
        return this.#general;
      }
      return this.#providerTimeouts(getMember(params.arguments, "model")) ??
        this.#providerTimeouts(params.name) ?? this.#general;
    }
    if (isSubscriptionMethod(method)) return this.#subscription;
    return isLongLived(method) ? this.#withoutTotal : this.#general;
  }

  /**
   * Returns the timeouts of the providers whose name is a prefix of a model or
   * a tool; `undefined` if there is none. Each timeout comes from the longest
   * name that sets it.
   */
  #providerTimeouts(text: unknown): Timeouts | undefined {
    if (typeof text !== "string") return undefined;
    let isFound = false;
    let total: Timeout | undefined;
    let idle: Timeout | undefined;
    for (let i = 0; i < this.#providers.length; i++) {
      const provider = this.#providers[i]!;
      if (!provider.pattern.test(text)) continue;
      isFound = true;
      total ??= limited({
        setting: `${provider.name}_STREAM_TIMEOUT`,
        ms: provider.total,
      });
      idle ??= limited({
        setting: `${provider.name}_STREAM_IDLE_TIMEOUT`,
        ms: provider.idle,
      });
    }
    if (!isFound) return undefined;
    return {
      total: total ?? this.#general.total,
      idle: idle ?? this.#general.idle,
    };
  }
}

/** Returns the timeout; `undefined` if it has no limit. */
function limited(timeout: Timeout): Timeout | undefined {
  return timeout.ms < Infinity ? timeout : undefined;
}

/** Returns the pattern for a name: `_` also matches `-`; no letter follows. */
function prefixOf(name: string): RegExp {
  return PROVIDER_PREFIXES[name] ??
    new RegExp(`^${name.replaceAll("_", "[-_]")}(?![a-z])`, "i");
}
