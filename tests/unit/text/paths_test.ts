/**
 * Tests absolute paths on each operating system.
 *
 * @module
 */

import { isAbsolutePath, toAbsolutePath } from "../../../lib/text/paths.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const FOLDERS: Readonly<Record<string, string>> = {
  ".": "C:\\Users\\J\u00fcrgen M",
  "C:.": "C:\\Users\\J\u00fcrgen M",
  "d:.": "D:\\work",
  "E:.": "E:\\",
};

const PATHS: [os: string, given: string, whole: string][] = [
  ["windows", "a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", ".\\a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", "./b/a.env", "C:\\Users\\J\u00fcrgen M\\b/a.env"],
  ["windows", "..\\a.env", "C:\\Users\\J\u00fcrgen M\\..\\a.env"],
  // Each drive has its own current folder.
  ["windows", "C:a.env", "C:\\Users\\J\u00fcrgen M\\a.env"],
  ["windows", "d:a.env", "D:\\work\\a.env"],
  ["windows", "E:a.env", "E:\\a.env"],
  ["windows", "d:", "D:\\work"],
  // A path that begins with a slash and has no drive is on the current drive.
  ["windows", "\\a.env", "C:\\a.env"],
  ["windows", "/b/a.env", "C:/b/a.env"],
  ["windows", "C:\\a.env", "C:\\a.env"],
  ["windows", "c:/a.env", "c:/a.env"],
  ["windows", "\\\\server\\share\\a.env", "\\\\server\\share\\a.env"],
  ["windows", "//server/share/a.env", "//server/share/a.env"],
  ["windows", "\\\\?\\C:\\a.env", "\\\\?\\C:\\a.env"],
  ["windows", "\\\\.\\nul", "\\\\.\\nul"],
  // These names are devices in every folder.
  ["windows", "nul", "nul"],
  ["windows", "NUL", "NUL"],
  ["windows", "com1", "com1"],
  ["windows", "null", "C:\\Users\\J\u00fcrgen M\\null"],
  ["linux", "a.env", "/home/j/a.env"],
  ["linux", "./a.env", "/home/j/a.env"],
  ["linux", "/a.env", "/a.env"],
  ["linux", "C:a.env", "/home/j/C:a.env"],
  ["linux", "\\a.env", "/home/j/\\a.env"],
  ["linux", "nul", "/home/j/nul"],
  ["darwin", "C:\\a.env", "/home/j/C:\\a.env"],
];

for (const [os, given, expected] of PATHS) {
  test(`Paths: absolute path on ${os} of ${given}`, () => {
    const folder = (path: string): string =>
      os === "windows" ? FOLDERS[path]! : "/home/j";
    assertEquals(toAbsolutePath(os, given, folder), expected);
    assertEquals(isAbsolutePath(os, given), given === expected);
  });
}

test("Paths: absolute path if the current folder is on a share or is a root", () => {
  const share = (): string => "\\\\server\\share\\folder";
  assertEquals(toAbsolutePath("windows", "\\a", share), "\\\\server\\share\\a");
  assertEquals(toAbsolutePath("windows", "a", () => "C:\\"), "C:\\a");
  assertEquals(toAbsolutePath("linux", "a", () => "/"), "/a");
});
