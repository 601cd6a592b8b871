/**
 * Bugs in how calls reach an exai daemon, and in how its responses are read.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const DIALECTS: readonly Mutant[] = [
  {
    name: "exai: a call is sent again to a process that began after the call",
    from: "if ($startedAt === undefined || $startedAt > $sentAt) return false;",
    to: "",
  },
  {
    name: "exai: a call is sent again to an unknown process",
    from: "return { $kind: $isSameProcess($process, $sent) ? $ready : $lost };",
    to: "return { $kind: $ready };",
  },
  {
    name: "exai: outcomes are requested from a revision that keeps none",
    from: "if (!this.$knowsHealth || $sent === undefined) return undefined;",
    to: "if ($sent === undefined) return undefined;",
  },
  {
    name: "exai: the outcome is requested without a pause",
    from: "Math.min($pause.$first * 2 ** $call.$polls++, $pause.$most)",
    to: "Math.min(0 * 2 ** $call.$polls++, $pause.$most)",
  },
  {
    name: "exai: two frames at a time on one connection",
    from: "return !this.$pending.has($connectionId);",
    to: "return $connectionId !== undefined;",
  },
  {
    name: "exai: equal calls share one execution",
    from: `if (this.$knowsKeys) {
        $input = $nested($arguments, $key) === undefined ? $$new : $$old;
      }`,
    to: "",
  },
  {
    name: "exai: a result for another request is taken for this one",
    from: `
      if ($sent.$phase === $unsent || $named !== $call.$id) { $$unexpected }`,
    to: "void $named; if ($sent.$phase === $unsent) { $$unexpected }",
  },
  {
    name:
      "exai: a call rejected for lack of capacity is sent again under its old id",
    from: `this.$renew($request);
      return { $kind: $later, $id, $delay, $isUnstarted: true };`,
    to: "return { $kind: $later, $id, $delay, $isUnstarted: true };",
  },
  {
    name: "exai: a failed call is reported as a JSON-RPC error",
    from: `if ($frame.$op === $failed && $error.$isForeign) {
        return $frames.$response($id, $Code.$invalid, $message);
      }
      const $text`,
    to: `if ($message !== "") {
        return $frames.$response($id, $Code.$invalid, $message);
      }
      const $text`,
  },
  {
    name: "exai: the text of a tool's exception counts as a result",
    from: '$RAISED.test($status) && typeof $error === "string"',
    to: "$RAISED.test($status) && $error === $status",
  },
  {
    name: "exai: the summary is not shown for a call without output",
    from: "if ($isSilent && $summary !== undefined) $texts.$splice($$show);",
    to: "void $isSilent; void $summary;",
  },
];
