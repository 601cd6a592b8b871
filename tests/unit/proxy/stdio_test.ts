import { assert, assertEquals } from "../../helpers/assert.ts";
import { LineSplitter, LineWriter } from "../../../lib/proxy/stdio.ts";
import { test as limited } from "../../helpers/time_limit.ts";
import { test } from "../../helpers/no_permissions.ts";

const encoder = new TextEncoder();

/**
 * Splits a text that arrives in chunks of `size` bytes. Returns each line, or
 * the byte length of a line over the limit.
 */
function splitChunks(text: string, size: number, limit = 1000): unknown[] {
  const bytes = encoder.encode(text);
  const splitter = new LineSplitter(limit);
  const lines = [];
  for (let at = 0; at < bytes.length; at += size) {
    lines.push(...splitter.push(bytes.slice(at, at + size)));
  }
  lines.push(...splitter.flush());
  return lines.map((it) => it.type === "line-too-long" ? it.bytes : it.text);
}

test("Line splitter: lines end with LF or CRLF, wherever the chunks end", () => {
  const text = 'one\ntw\u00f6 \u{1f600}\r\n\n{"a":"\\r"}\rb\r\nlast';
  const expected = ["one", "tw\u00f6 \u{1f600}", "", '{"a":"\\r"}\rb', "last"];
  for (let size = 1; size <= 40; size++) {
    assertEquals(splitChunks(text, size), expected, `chunks of ${size}`);
  }
});

test("Line splitter: drops a line over the limit, reports its length, and reads the next one", () => {
  for (const size of [1, 7, 1000]) {
    assertEquals(splitChunks(`${"x".repeat(11)}\nok\n`, size, 10), [11, "ok"]);
    assertEquals(splitChunks(`${"x".repeat(10)}\nok\n`, size, 10), [
      "x".repeat(10),
      "ok",
    ]);
  }
});

test("Line splitter: keeps both ends of a line over the limit", () => {
  const splitter = new LineSplitter(5_000);
  const text = `${"a".repeat(3_000)}${"b".repeat(6_000)}${"c".repeat(3_000)}`;
  for (const size of [100, 1_024, 4_000, 20_000]) {
    const lines = [];
    for (let at = 0; at < text.length; at += size) {
      lines.push(...splitter.push(encoder.encode(text.slice(at, at + size))));
    }
    lines.push(...splitter.push(encoder.encode("\r\nnext\n")));
    assertEquals(lines.map(({ type }) => type), ["line-too-long", "line"]);
    const [line] = lines;
    assert(line?.type === "line-too-long");
    assertEquals(line.bytes, 12_001);
    assertEquals(line.head, "a".repeat(1_024));
    assertEquals(line.tail, "c".repeat(1_023));
  }
});

test("Line splitter: removes a byte order mark", () => {
  assertEquals(splitChunks('\ufeff{"a":1}\n', 100), ['{"a":1}']);
});

test("Line splitter: a long line in many chunks is kept whole, and the next one, too", () => {
  const chunk = encoder.encode("x".repeat(65_536));
  const splitter = new LineSplitter(1e9);
  for (let i = 0; i < 32; i++) assertEquals([...splitter.push(chunk)], []);
  const [line, next] = splitter.push(encoder.encode("\nnext\n"));
  assert(line?.type === "line" && line.text === "x".repeat(32 * 65_536));
  assertEquals(next, { type: "line", text: "next" });
});

/** Returns a sink that accepts at most `most` bytes of each write. */
function slowSink(
  most: number,
): { text: () => string; write: (bytes: Uint8Array) => Promise<number> } {
  const taken: number[] = [];
  return {
    text: () => new TextDecoder().decode(new Uint8Array(taken)),
    write: (bytes) => {
      const part = bytes.subarray(0, most);
      taken.push(...part);
      return Promise.resolve(part.length);
    },
  };
}

limited(
  "Line writer: writes lines whole and in order, however few bytes are taken at once",
  async () => {
    const sink = slowSink(3);
    const writer = new LineWriter(sink.write, Infinity, () => {});
    writer.push("one");
    writer.push("tw\u00f6");
    await Promise.resolve();
    writer.push("three");
    await writer.drained();
    writer.push("four");
    await writer.drained();
    assertEquals(sink.text(), "one\ntw\u00f6\nthree\nfour\n");
  },
);

limited(
  "Line writer: reports a broken stream once, and writes nothing after that",
  async () => {
    let writes = 0;
    let reports = 0;
    const write = (): Promise<number> => {
      writes++;
      return Promise.reject(new Error("EPIPE"));
    };
    const writer = new LineWriter(write, Infinity, () => reports++);
    writer.push("one");
    await writer.drained();
    writer.push("two");
    await writer.drained();
    assertEquals([writes, reports], [1, 1]);
  },
);

limited(
  "Line writer: drops lines above the limit while nobody reads",
  async () => {
    const gate = Promise.withResolvers<void>();
    const sink = slowSink(100);
    const write = async (bytes: Uint8Array): Promise<number> => {
      await gate.promise;
      return await sink.write(bytes);
    };
    const writer = new LineWriter(write, 10, () => {});
    for (const line of ["123456", "123456", "dropped"]) writer.push(line);
    gate.resolve();
    await writer.drained();
    assertEquals(sink.text(), "123456\n123456\n");
  },
);

test("Line writer: a broken stream ends the wait for free space", async () => {
  const { promise, reject } = Promise.withResolvers<number>();
  const writer = new LineWriter(() => promise, Infinity, () => {});
  for (let i = 0; i < 9; i++) writer.push("x".repeat(2 ** 20));
  await Promise.resolve();
  const low = writer.drained(2 ** 20);
  reject(new Error("EPIPE"));
  await low;
  assertEquals(writer.backlog, 0);
});

limited(
  "Line writer: lines that follow a write at once wait for other events, and are written together",
  async () => {
    const written: string[] = [];
    const events = [Promise.withResolvers<void>()];
    let yields = 0;
    const writer = new LineWriter(
      (bytes) => {
        written.push(new TextDecoder().decode(bytes));
        return bytes.length;
      },
      Infinity,
      () => {},
      () => {
        yields++;
        return events[0]!.promise;
      },
    );
    const clock = performance.now;
    let now = 1_000;
    performance.now = () => now;
    try {
      writer.push("first");
      await writer.drained();
      now += 0.05;
      writer.push("a");
      await Promise.resolve();
      writer.push("b");
      assertEquals([written, yields], [["first\n"], 1]);
      events[0]!.resolve();
      await writer.drained();
      assertEquals(written, ["first\n", "a\nb\n"]);
      now += 1;
      writer.push("later");
      await writer.drained();
      assertEquals([written.at(-1), yields], ["later\n", 1]);
    } finally {
      performance.now = clock;
    }
  },
);

limited(
  "Line writer: bytes that cannot be written at once are written later, in order",
  async () => {
    const taken: number[] = [];
    let isFull = false;
    const write = (bytes: Uint8Array): number | Promise<number> => {
      isFull = !isFull;
      const part = bytes.subarray(0, isFull ? 2 : 5);
      taken.push(...part);
      return isFull ? part.length : Promise.resolve(part.length);
    };
    const writer = new LineWriter(write, Infinity, () => {});
    const lines = ["one", "\u00e4".repeat(20_000), "three"];
    for (const line of lines) writer.push(line);
    await writer.drained();
    const text = new TextDecoder().decode(new Uint8Array(taken));
    assertEquals(text, `${lines.join("\n")}\n`);
  },
);
