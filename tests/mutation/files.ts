/**
 * Bugs in which files are trusted, and in what a power cut or another process
 * leaves of them.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const FILES: readonly Mutant[] = [
  {
    name: "files: a file of another user is trusted",
    from: "$owner.$id !== $user()",
    to: "$owner.$id === -1",
  },
  {
    name: "files: a file that its group can write is trusted",
    from: "($mode & 0o022) !== 0",
    to: "($mode & 0o002) !== 0",
  },
  {
    name: "files: another user's folder is used",
    from: "$owner.$id !== $known($user, $folder)",
    to: "$owner.$id === -1",
  },
  {
    name: "files: our folder stays open to its group",
    from: "($mode & 0o077) !== 0",
    to: "($mode & 0o007) !== 0",
  },
  {
    name: "files: status files in another user's folder count",
    from: `
      $claim($host);
      $names = $host.$list($folder);`,
    to: "$names = $host.$list($folder);",
  },
  {
    name: "files: another program's file is removed",
    from: `
      if ($text === undefined || !$isOurs($text)) return undefined;
      $host.$remove($path);`,
    to: "if ($text === undefined) return undefined; $host.$remove($path);",
  },
  {
    name: "files: a cache is renamed before it is on the disk",
    from: `
      await $host.$sync($next);
      $mayReplace($host, $path);
      await $rename($host, $next, $path);`,
    to: `
      $mayReplace($host, $path);
      await $rename($host, $next, $path);`,
  },
  {
    name: "files: a client's file is renamed before it is on the disk",
    from: `
      await $host.$sync($next);
      const $seen = $mustBe($host, $path, $before);`,
    to: "const $seen = $mustBe($host, $path, $before);",
  },
  {
    name: "files: another program's change to a client's file is overwritten",
    from: "const $isSame = $host.$readFile($path) === $before;",
    to: 'const $isSame = $host.$readFile($path) !== "";',
  },
  {
    name: "files: another program's change during a wait is overwritten",
    from: "await $rename($host, $next, $path, $check).$then",
    to: "await $rename($host, $next, $path).$then",
  },
  {
    name: "files: a file that is held open for a moment on Windows is given up",
    from: "$error instanceof $Distrust || $failures >= $LIMIT",
    to: "$error instanceof $Distrust || $failures >= 1",
  },
  {
    name: "files: temporary files of killed processes beside a cache stay",
    from: "for (const $file of [...$old, ...$left])",
    to: "for (const $file of [...$old])",
  },
  {
    name: "files: a fourth copy of a client's file takes the first one's place",
    from: "const [, $older, $newest] = $names as [$type, $type, $type]",
    to: "const [$older, , $newest] = $names as [$type, $type, $type]",
  },
  {
    name: "files: bytes that are not UTF-8 are text",
    from: "new $Decoder($utf8, { $fatal: true, $ignore: true })",
    to: "new $Decoder($utf8, { $fatal: false, $ignore: true })",
  },
  {
    name:
      "files: on Windows the first failure to replace an open file is final",
    from: "if ($left <= 0) throw $error;",
    to: "throw $error;",
  },
  {
    name: "files: two proxies write one cache at once",
    from: `
      if (!$isTaken && $turn === $waits) return $taken;`,
    to: "",
  },
  {
    name: "files: a killed process holds a lock for ever",
    from: "Math.$abs($Date.$now() - $facts.$modifiedAt) < $limit",
    to: "$limit > 0",
  },
  {
    name: "files: HTTP settings stay in a table below a Codex entry",
    from: `
      if ($isRemade($section.$path[$path.$length]!)) {
        $edits.$push($sectionCut($text, $section));
      }`,
    to: "",
  },
  {
    name:
      "files: a comment behind a removed entry of Codex's file is removed, too",
    from: "$comment === -1 ? {$$lines} : {$$comments}",
    to: "{$$lines}",
  },
  {
    name: "files: an empty line stays where a Codex entry was",
    from:
      "if ($start > 0) { const $above = $$end; if ($$blank) $start = $above; }",
    to: "",
  },
  {
    name: "files: dots lead into a table of Codex's file that has a header",
    from: "if ($member.$from !== $dots) return false; $table = $member;",
    to: "$table = $member;",
  },
];
