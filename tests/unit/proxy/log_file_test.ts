/**
 * Tests which lines a log file gets while it is loaded, while the disk is slow
 * and after a failure, and which warnings there are.
 *
 * @module
 */

import { LogFile } from "../../../lib/proxy/log_file.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { MemoryDisk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";

/** A log file on a disk whose flushes end when the test says so. */
class Fixture {
  readonly warnings: string[] = [];
  readonly texts: string[] = [];
  readonly flushes: PromiseWithResolvers<void>[] = [];
  readonly loaded = Promise.withResolvers<Append>();
  /** The error of the next write, if any. */
  error: Error | undefined;
  readonly file = new LogFile(
    new MemoryDisk().host(),
    "/logs/a.log",
    (message) => this.warnings.push(message),
    undefined,
    () => this.loaded.promise,
  );

  readonly append = (_path: string, text: string): Promise<void> => {
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) throw error;
    this.texts.push(text);
    const flush = Promise.withResolvers<void>();
    this.flushes.push(flush);
    return flush.promise;
  };

  async load(): Promise<void> {
    this.loaded.resolve(this.append);
    await settle();
  }
}

type Append = Fixture["append"];

/** Lets the reactions to settled promises run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

/** Returns an error with a code, like those of a runtime. */
function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}

test("Log file: lines that are written while it is loaded are kept, in order", async () => {
  const { file, texts, ...fixture } = new Fixture();
  file.write("1");
  file.write("2");
  assertEquals(texts, []);
  fixture.loaded.resolve(fixture.append);
  await settle();
  assertEquals(texts, ["1\n2\n"]);
});

test("Log file: during a flush lines wait, and are then written together", async () => {
  const fixture = new Fixture();
  await fixture.load();
  for (const line of ["1", "2", "3"]) fixture.file.write(line);
  assertEquals(fixture.texts, ["1\n"]);
  fixture.flushes[0]!.resolve();
  await settle();
  assertEquals(fixture.texts, ["1\n", "2\n3\n"]);
});

test("Log file: the exit writes the waiting lines, even during a flush", async () => {
  const fixture = new Fixture();
  await fixture.load();
  fixture.file.write("1");
  fixture.file.write("2");
  const closed = fixture.file.close();
  await settle();
  assertEquals(fixture.texts, ["1\n", "2\n"]);
  for (const flush of fixture.flushes) flush.resolve();
  await closed;
});

test("Log file: lines that a slow disk cannot take are left out, with one warning", async () => {
  const fixture = new Fixture();
  await fixture.load();
  const line = "x".repeat(1024 * 1024);
  for (let i = 0; i < 5; i++) fixture.file.write(line);
  fixture.flushes[0]!.resolve();
  await settle();
  assertEquals(fixture.texts.map(({ length }) => length), [
    line.length + 1,
    2 * (line.length + 1),
  ]);
  assertEquals(fixture.warnings.length, 1);
  assertMatch(
    fixture.warnings[0]!,
    /a\.log lacks lines: the disk is too slow/,
  );
});

test("Log file: each kind of failure gives one warning, and later lines are written", async () => {
  const fixture = new Fixture();
  await fixture.load();
  for (const code of ["EIO", "EIO", "ENOSPC", "EDQUOT", "EACCES", "EIO"]) {
    fixture.error = systemError(code);
    fixture.file.write(code);
  }
  fixture.file.write("1");
  assertEquals(fixture.texts, ["1\n"]);
  assertEquals(
    fixture.warnings.map((text) => /(\w+): it failed/.exec(text)?.[1]),
    ["EIO", "ENOSPC", "EACCES"],
  );
});

test("Log file: a folder that is removed during a write is created again", async () => {
  const fixture = new Fixture();
  await fixture.load();
  fixture.error = systemError("ENOENT");
  fixture.file.write("1");
  assertEquals(fixture.texts, ["1\n"]);
  assertEquals(fixture.warnings, []);
});

test("Log file: a failed flush gives a warning, unless the file system has no flush", async () => {
  for (const [code, count] of [["EIO", 1], ["EINVAL", 0]] as const) {
    const fixture = new Fixture();
    await fixture.load();
    fixture.file.write("1");
    fixture.flushes[0]!.reject(systemError(code));
    await settle();
    assertEquals(fixture.warnings.length, count);
    fixture.file.write("2");
    assertEquals(fixture.texts, ["1\n", "2\n"]);
  }
});

test("Log file: a package that cannot be loaded gives one warning", async () => {
  const fixture = new Fixture();
  fixture.file.write("1");
  fixture.loaded.reject(new Error("there is no network"));
  await settle();
  fixture.file.write("2");
  await fixture.file.close();
  assertEquals(fixture.warnings.length, 1);
  assertMatch(fixture.warnings[0]!, /cannot be loaded \(there is no network\)/);
});
