/**
 * Bugs in which files are trusted, and in how files survive a power cut or
 * other processes.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const FILES: readonly Mutant[] = [
  {
    name: "files: a file of another user is trusted",
    from: "$userId !== $host.$userIdIn($folder)",
    to: "$userId === -1",
  },
  {
    name: "files: a file that its group can write is trusted",
    from: "($mode & 0o022) !== 0",
    to: "($mode & 0o002) !== 0",
  },
  {
    name: "files: another user's folder is used",
    from: "$userId !== $known($host, $folder)",
    to: "$userId === -1",
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
    name: "files: a file that is not ours is removed from the status folder",
    from: `
      if ($why($host, $path, $info) === undefined) $host.$remove($path);`,
    to: "$host.$remove($path);",
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
    from: `
      const $check = (): void => $assertUnchanged($host, $path, $info);
      return await $rename($host, $next, $path, $check)`,
    to: `
      void [$assertUnchanged, $info];
      return await $rename($host, $next, $path)`,
  },
  {
    name:
      "files: a result that could not be written to the cache is never written later",
    from: "if (++this.$failures === $max) this.$warn($file.$path, $error);",
    to:
      "if (++this.$failures === $max) this.$warn($file.$path, $error); return false;",
  },
  {
    name: "files: a cached result that another process has overwritten is lost",
    from: "$file !== undefined && $hasAll($file.$results, $results)",
    to: "$file !== undefined",
  },
  {
    name: "files: a cache that cannot be read for a moment is replaced",
    from: "$file.$isUnreadable && this.$left > 0",
    to: "false",
  },
  {
    name: "files: temporary files of killed processes stay beside a cache",
    from: "$Date.$now() - $info.$modifiedAt > $limit",
    to: "$limit < 0",
  },
  {
    name: "files: a fourth copy of a client's file takes the first one's place",
    from: "const [, $older, $newest] = $names as [$type, $type, $type]",
    to: "const [$older, , $newest] = $names as [$type, $type, $type]",
  },
  {
    name: "files: bytes that are not UTF-8 count as text",
    from: "new $Decoder($utf8, { $fatal: true, $ignore: true })",
    to: "new $Decoder($utf8, { $fatal: false, $ignore: true })",
  },
  {
    name:
      "files: on Windows the first failure to replace an open file is final",
    from: "if ($left-- <= 0) throw $error;",
    to: "throw $error;",
  },
  {
    name: "files: a cache loses what other proxies have written",
    from: `
      const $merged = $merge($file.$results, $news);
      this.$write($file.$path, $serialize($key, $merged));`,
    to: "this.$write($file.$path, $serialize($key, $news));",
  },
  {
    name: "files: a killed proxy counts as running for ever",
    from: "$Date.$now() - $info.$modifiedAt < $limit",
    to: "$limit > 0",
  },
  {
    name: "files: HTTP settings stay in a table below a Codex entry",
    from: "if ($FIELDS.$test($name)) this.$cut($table);",
    to: "",
  },
  {
    name:
      "files: a comment behind a removed entry of Codex's file is removed, too",
    from: "$comment === -1 ? [$start, $next] : [$from, $to + $comment]",
    to: "[$start, $next]",
  },
  {
    name: "files: an empty line stays where a Codex entry was",
    from: "[$isEmpty ? $above : $start, $next]",
    to: "[$start, $next]",
  },
];
