/**
 * Bugs in how calls reach an exai daemon, and in how its responses are
 * interpreted.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const DIALECTS: readonly Mutant[] = [
  {
    name: "exai: a call is sent again to a process that began after it",
    from: "if ($startedAt > $sentAt) return false;",
    to: "",
  },
  {
    name: "exai: a call is sent again to an unknown process",
    from:
      "if ($isPoll && !$isSameProcess($line, $call)) return { $kind: $lost };",
    to: "",
  },
  {
    name: "exai: outcomes are requested from a revision that keeps none",
    from: `
      if (!this.$knowsHealth || $call?.$sentAt === undefined) return undefined;`,
    to: "if ($call?.$sentAt === undefined) return undefined;",
  },
  {
    name: "exai: the outcome is requested without a pause",
    from: "Math.min($pause.$first * 2 ** $call.$polls++, $pause.$most)",
    to: "Math.min(0 * 2 ** $call.$polls++, $pause.$most)",
  },
  {
    name: "exai: two frames at a time on one connection",
    from: "return this.$lines.get($connectionId)?.$outstanding === undefined;",
    to: "return $connectionId !== undefined;",
  },
  {
    name: "exai: equal calls share one execution",
    from: "$write($message, $call, this.$knowsKeys ? $keyed : $plain)",
    to: "$write($message, $call, $plain)",
  },
  {
    name: "exai: a result for another request is taken for this one",
    from: "if ($named !== $call.$id) return { $$unexpected };",
    to: "",
  },
  {
    name:
      "exai: a call rejected for lack of capacity is sent again under its old id",
    from: "this.$renew($request); const { id } = $request;",
    to: "const { id } = $request;",
  },
  {
    name: "exai: an unknown tool is an error of the protocol",
    from: `if ($isForeign) return $error($request, $Code.$invalid, $message);
      const $text`,
    to: `void $isForeign;
      if ($message !== "") {
        return $error($request, $Code.$invalid, $message);
      }
      const $text`,
  },
  {
    name: "exai: a tool's exception text is a result",
    from: '$RAISED.test($status) && typeof $error === "string"',
    to: "$RAISED.test($status) && $error === $status",
  },
  {
    name: "exai: a silent call is no evidence",
    from: "if ($isSilent && $summary !== undefined) $$show;",
    to: "void $isSilent; void $summary;",
  },
];
