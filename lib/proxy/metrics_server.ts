/**
 * Serves the metrics and the health of the proxy over HTTP (`--metrics`). Web
 * pages must not read them: a page can send requests to this machine, and can
 * give its own host name the address of this machine (DNS rebinding).
 *
 * | path       | response                                                      |
 * | ---------- | ------------------------------------------------------------- |
 * | `/metrics` | the metrics, in the format of Prometheus or of OpenMetrics    |
 * | `/healthz` | 200: the proxy runs                                           |
 * | `/readyz`  | 200 if the daemon is connected, else 503                      |
 *
 * @module
 */

import {
  isConnected,
  type MeasuredProxy,
  metricFamiliesOf,
} from "../telemetry/metric_families.ts";
import {
  acceptedFormat,
  METRICS_MEDIA_TYPES,
  renderMetrics,
} from "../telemetry/metrics_text.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { systemErrorCode } from "../runtime/host.ts";
import {
  type HttpAddress,
  type HttpLimits,
  type HttpRequest,
  type HttpResponse,
  type HttpServer,
  serveHttp,
} from "../runtime/http_server.ts";

/** Bounds that one scraper, a browser and a health check do not reach. */
const LIMITS: HttpLimits = {
  maxConnections: 16,
  idleTimeoutMs: 10_000,
  lifetimeMs: 60_000,
};

const PLAIN_TEXT = "text/plain; charset=utf-8";
/** Nothing may be cached, guessed, or shown in a page of others. */
const COMMON_HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
};

/**
 * Starts to serve the metrics.
 *
 * @throws {Error} if nothing can listen on the address
 */
export function serveMetrics(
  address: HttpAddress,
  measure: () => MeasuredProxy,
): Promise<HttpServer> {
  return serveHttp(
    address,
    LIMITS,
    (request) => respondTo(request, address.host, measure),
  );
}

/** Describes why nothing can listen on an address, without a full stop. */
export function describeListenError(error: unknown): string {
  switch (systemErrorCode(error)) {
    case "EADDRINUSE":
      return "another program, perhaps another alwaysup, has this port";
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return "this machine does not have this address";
    case "EACCES":
      return "the system does not permit this port";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name is not known";
    default:
      return errorMessageOf(error);
  }
}

/** Returns the URL of the metrics. */
export function metricsUrlOf({ host, port }: HttpAddress): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/metrics`;
}

/** Returns the response to a request; `ownHost` is the configured host. */
export async function respondTo(
  request: HttpRequest,
  ownHost: string,
  measure: () => MeasuredProxy,
): Promise<HttpResponse> {
  const { method, path } = request;
  if (method !== "GET" && method !== "HEAD") {
    return plain(405, "Use GET or HEAD.", { Allow: "GET, HEAD" });
  }
  const host = request.header("host");
  if (!isOwnHost(host, ownHost)) {
    return plain(
      403,
      "The Host header must be an IP address, localhost, " +
        "host.docker.internal, or the host of --metrics.",
    );
  }
  const origin = request.header("origin");
  const site = request.header("sec-fetch-site") ?? "none";
  const isForeign = origin !== undefined && origin !== `http://${host}` ||
    site !== "none" && site !== "same-origin";
  if (isForeign) {
    return plain(403, "Pages of other origins may not read this.");
  }
  switch (path) {
    case "/metrics": {
      const families = metricFamiliesOf([measure()]);
      const format = acceptedFormat(request.header("accept"));
      const body = await renderMetrics(families, format);
      return {
        status: 200,
        headers: {
          ...COMMON_HEADERS,
          "Content-Type": METRICS_MEDIA_TYPES[format],
          "Vary": "Accept",
        },
        body,
      };
    }
    case "/healthz":
      return plain(200, "alwaysup runs.");
    case "/readyz": {
      const { snapshot } = measure();
      return isConnected(snapshot)
        ? plain(200, "The daemon is connected.")
        : plain(503, "The daemon is not connected.");
    }
    default:
      return plain(404, "There are /metrics, /healthz and /readyz.");
  }
}

/**
 * Returns true if a page of others cannot have this `Host`: no foreign host
 * name. `host.docker.internal` is this machine, seen from a container.
 */
function isOwnHost(host: string | undefined, ownHost: string): boolean {
  const name = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::\d+)?$/i.exec(host ?? "")?.[1]
    ?.toLowerCase();
  if (name === undefined) return false;
  return name.startsWith("[") || /^\d+\.\d+\.\d+\.\d+$/.test(name) ||
    name === "localhost" || name === "host.docker.internal" ||
    name === ownHost.toLowerCase();
}

function plain(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return {
    status,
    headers: { ...COMMON_HEADERS, "Content-Type": PLAIN_TEXT, ...headers },
    body: `${text}\n`,
  };
}
