/**
 * Bugs in how a daemon's forms are understood, and in what is guessed of them.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const FORMS: readonly Mutant[] = [
  {
    name: "forms: an id of the other type is matched where the client has both",
    from: `
      const $isSingle = this.$type === $number || this.$type === $text;
      return $isSingle && this.$type !== $typeOf($id)
        ? $other($id) : undefined;`,
    to: "return this.$type !== $typeOf($id) ? $other($id) : undefined;",
  },
  {
    name: "forms: an id of the other type is nobody's",
    from: `
      this.$isRetyping ||= $isMeant;
      return $isMeant ? $meant : undefined;`,
    to: "return undefined;",
  },
  {
    name: "forms: the client gets the daemon's spelling of its id",
    from: `
      const $answer = $id === $said.$id
        ? $said
        : { ...$said, $id, $text: $replace($said.$text, ["id"], $id) };`,
    to: "const $answer = { ...$said, $id };",
  },
  {
    name: "forms: a progress token of the other type is nobody's",
    from: `
      const $meant = $desk.$tokens.$find($said);
      if ($meant === undefined || !$isFor($meant)) return undefined;
      return $replace($text, ["params", "progressToken"], $meant);`,
    to: "void $replace; return undefined;",
  },
  {
    name: "forms: an id comes again before its late answer",
    from: "if ($desk.$ids.$isLate($request.$id)) { $$refuse }",
    to: "",
  },
  {
    name: "forms: a client's id meets that of an open request of ours",
    from: `
      if (this.$ownId($message.$id) !== undefined) return { $kind: $wait };`,
    to: "",
  },
  {
    name: "forms: our own ids are texts",
    from: `
      $id = \`\${$least + ($chance + this.$count++) % $most}\`;`,
    to: `
      $id = JSON.stringify(\`\${$least + ($chance + this.$count++) % $most}\`);`,
  },
  {
    name: "forms: an answer beside other text is lost",
    from: `
      return [
        ...$answers,
        ...$broken.filter($isNamed),
        $$rest
      ];`,
    to: `
      void $answers;
      return [...$broken.filter($isNamed), $$rest];`,
  },
  {
    name: "forms: beside other text everything counts",
    from: `
      const $answers = $messages.filter(($it) =>
        $it.$kind === $answer ||
        $it.$kind === $invalid && $it.$like === $answer);`,
    to: "const $answers = $messages;",
  },
  {
    name: "forms: what stands around a JSON text is not taken off",
    from: "const $bare = $text.slice($skip($text, 0), $end($text));",
    to: "const $bare = $text;",
  },
  {
    name: "forms: a null beside an answer goes on",
    from: `
      : $cut($text, ["method", "params", $isError ? "result" : "error"]);`,
    to: ": $text;",
  },
  {
    name: "forms: a result that is null goes on",
    from: '$replace($carried, ["result"], "{}")',
    to: "$carried",
  },
  {
    name: "forms: an error goes on as it is malformed",
    from: "const $told = $isGood ? $carried : $withError($carried, $said);",
    to: "const $told = $carried;",
  },
  {
    name: "forms: keys with escapes are read by the runtime",
    from: `
      const $mayEscape = $text.includes($one) || $text.includes($other);
      if (!$mayEscape) return { $value: $parsed, $text };`,
    to: 'if ($text !== "") return { $value: $parsed, $text };',
  },
  {
    name: "forms: progress that does not rise is withheld",
    from: `
      if ($account.$writes > 1 && !($value > $account.$progress)) return false;`,
    to: "if (!($value > $account.$progress)) return false;",
  },
  {
    name: "forms: progress falls after a request was written again",
    from: `
      if ($account.$writes > 1 && !($value > $account.$progress)) return false;`,
    to: "",
  },
  {
    name: "forms: a cursor that does not advance is followed",
    from: `
      const $isNew = $next !== undefined && !$now.$byCursor.has($next);`,
    to: "const $isNew = $next !== undefined;",
  },
  {
    name: "forms: an error without an id is guessed to be about the first",
    from: "return $open.length === 1 ? $open[0]!.$key : undefined;",
    to: "return $open[0]?.$key;",
  },
  {
    name: "forms: what was told and cancelled may not be meant",
    from: `
      const $isElse = $phase !== $ready || $ledger.$late.$isAnyDue($epoch) ||
        !$desk.$told.$isTaken($epoch);`,
    to: "const $isElse = $phase !== $ready;",
  },
  {
    name: "forms: what may not be repeated is, after an error without an id",
    from: "$desk.$mayRepeat($message) && !$desk.$hasRepeated.has($message)",
    to: "!$desk.$hasRepeated.has($message)",
  },
  {
    name: "forms: what is not understood is repeated for ever",
    from: "$desk.$mayRepeat($message) && !$desk.$hasRepeated.has($message)",
    to: "$desk.$mayRepeat($message)",
  },
  {
    name: "forms: a broken answer is waited for until the idle limit",
    from: "if ($isGreeting || $desk.$unclear.has($id)) return;",
    to: "if ($isGreeting || $id) return;",
  },
];
