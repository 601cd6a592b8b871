/**
 * Lets a real Prometheus scrape a real proxy while its daemon is killed and
 * started again, and runs every expression of the files in `config/`. It needs
 * Debian's package `prometheus`.
 *
 *     deno task prometheus [--bin FILE] [--picture]
 *
 * `--picture` writes `.github/metrics.svg`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse_args.js";
import {
  drawMetrics,
  METRICS_PICTURE_FILE,
} from "../../.ci/build/metrics_picture.ts";
import { errorMessageOf } from "../../lib/text/error_message.ts";
import { print } from "../helpers/print.ts";
import * as checks from "./checks.ts";
import { runOutage, startProxy } from "./outage.ts";
import { findPrometheus, PrometheusServer } from "./prometheus_server.ts";

/** The time limit of everything, in milliseconds. It takes some 30 s. */
const RUN_LIMIT_MS = 90_000;

async function run(isPictureWanted: boolean): Promise<void> {
  print(await checks.checkFiles());
  const { both, metricsUrl } = await startProxy();
  await using _both = both;
  print(await checks.checkText(metricsUrl));
  const config = await checks.runConfig(metricsUrl);
  await using server = await PrometheusServer.start(config);
  const record = await runOutage(both, server);
  print(await checks.checkFigures(server, record));
  print(await checks.checkExpressions(server));
  print(await checks.checkAlerts(server));
  print(await checks.checkCounters(server));
  print(await checks.checkFormats(server, metricsUrl));
  if (!isPictureWanted) return;
  const picture = drawMetrics(await checks.readPicture(server, record));
  await Deno.writeTextFile(METRICS_PICTURE_FILE, picture);
  print("The picture is written");
}

const flags = parseArgs(Deno.args, {
  string: ["bin"],
  boolean: ["picture"],
  unknown: (name: string): never => {
    print(
      `Unknown: ${name}. Usage: deno task prometheus [--bin FILE] [--picture]`,
    );
    Deno.exit(2);
  },
});
const version = findPrometheus();
if (version === undefined) {
  print(
    "prometheus and promtool are not installed: run `apt-get install -y " +
      "prometheus` on Debian, or see https://prometheus.io/download/.",
  );
  Deno.exit(1);
}
// The source is the default, even if the tests use a built program.
Deno.env.delete("ALWAYSUP_BIN");
if (flags.bin) Deno.env.set("ALWAYSUP_BIN", Deno.realPathSync(flags.bin));
const limit = setTimeout(() => {
  // What has been started ends with the pipe to its stdin.
  print(`Failed: it took more than ${RUN_LIMIT_MS / 1000} s`);
  Deno.exit(1);
}, RUN_LIMIT_MS);
try {
  const start = performance.now();
  print(`Prometheus ${version}`);
  await run(flags.picture);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  print(`Everything is as it should be, after ${seconds} s.`);
} catch (error) {
  print(`Failed: ${errorMessageOf(error)}`);
  Deno.exit(1);
} finally {
  clearTimeout(limit);
}
