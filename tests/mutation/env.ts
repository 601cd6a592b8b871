/**
 * Bugs in how `.env` files are read, and in what is reported about them.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const ENV: readonly Mutant[] = [
  {
    name: "env: a # begins a comment wherever it stands",
    from: `
      let $end = $text.$search($comment);
      if ($end < 0) $end = $text.length;`,
    to: `
      let $end = $text.indexOf("#");
      if ($end < 0 || $comment === undefined) $end = $text.length;`,
  },
  {
    name: "env: an escaped quote closes a value",
    from: 'if ($text[$i - 1] !== "\\\\") return $i;',
    to: "return $i;",
  },
  {
    name: "env: the environment wins over an earlier line",
    from: "$values.has($it) ? $values.get($it) ?? null : $env.get($it)",
    to: "$env.get($it) ?? $values.get($it)",
  },
  {
    name: "env: a warning quotes a name that may be part of a secret",
    from: "/^[A-Z_][A-Z0-9_]{0,63}$/.test($name)",
    to: '$name !== ""',
  },
  {
    name: "env: install uses variables that the client does not pass on",
    from: "{ ...$host, $env: () => $passedOn($host) }",
    to: "$host; void $passedOn",
  },
];
