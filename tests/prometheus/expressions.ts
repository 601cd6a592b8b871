/**
 * The expressions of `config/grafana-dashboard.json`, as Grafana sends them, and
 * the names that expressions have for our metrics.
 *
 * @module
 */

import type { MetricFamily } from "../../lib/telemetry/metric_families.ts";

/** An expression of a panel. */
export interface PanelExpression {
  readonly panel: string;
  readonly expression: string;
}

/** What Grafana puts in for variables: all instances, and ranges of this run. */
const VARIABLES: readonly (readonly [name: string, value: string])[] = [
  ["$__rate_interval", "20s"],
  ["$__range", "1m"],
  ["$instance", ".*"],
];

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

/** Returns the expressions of all panels. Throws if a variable is not known. */
export function dashboardExpressions(json: string): PanelExpression[] {
  const { panels } = JSON.parse(json) as Dashboard;
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => {
      let expression = expr;
      for (const [name, value] of VARIABLES) {
        expression = expression.replaceAll(name, value);
      }
      if (expression.includes("$")) throw new Error(`a variable of: ${expr}`);
      return { panel: title, expression };
    })
  );
}

/** Returns the names of a metric's series. A histogram has three. */
export function seriesNamesOf(
  { name, type }: Pick<MetricFamily, "name" | "type">,
): string[] {
  if (type !== "histogram") return [name];
  return ["bucket", "sum", "count"].map((part) => `${name}_${part}`);
}
