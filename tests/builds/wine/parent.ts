/**
 * Starts the Windows programs of a test that runs on Linux. Wine gives a
 * program Windows pipes only if a Windows program has created them.
 *
 *     wine bun.exe parent.ts PORT
 *
 * It connects to the port, and handles the frames that arrive. A frame has the
 * length of its content (4 bytes), the number of a program (4 bytes), its kind
 * (1 byte), and its content. `tests/builds/wine.ts` lists the kinds.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import process from "node:process";

/**
 * The length of a frame's header, and the longest content of a frame to the
 * test, in bytes.
 */
const HEADER_BYTES = 9;
const MAX_CHUNK_BYTES = 64 * 1024;

/** The running programs by their numbers. */
const programs = new Map<number, ChildProcess>();
const socket = connect(Number(process.argv[2]), "127.0.0.1");

function send(id: number, kind: string, bytes: Buffer = Buffer.alloc(0)): void {
  for (let at = 0; at === 0 || at < bytes.length; at += MAX_CHUNK_BYTES) {
    const part = bytes.subarray(at, at + MAX_CHUNK_BYTES);
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUInt32BE(part.length, 0);
    head.writeUInt32BE(id, 4);
    head.write(kind, 8);
    socket.write(Buffer.concat([head, part]));
  }
}

interface StartOrder {
  readonly command: string;
  readonly args: string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
}

function start(id: number, { command, args, env, cwd }: StartOrder): void {
  const { BUN_BE_BUN: _, ...ours } = process.env;
  const program = spawn(command, args, {
    cwd,
    env: { ...ours, ...env },
    // `windowsHide` is not set: each hidden console would cost a process, and a
    // third of the start time.
    stdio: ["pipe", "pipe", "pipe"],
  });
  programs.set(id, program);
  // A program that has exited reads no stdin.
  program.stdin.on("error", () => {});
  program.stdout.on("data", (bytes: Buffer) => send(id, "o", bytes));
  program.stderr.on("data", (bytes: Buffer) => send(id, "e", bytes));
  program.stdout.on("end", () => send(id, "O"));
  program.stderr.on("end", () => send(id, "E"));
  program.on("spawn", () => send(id, "s", Buffer.from(`${program.pid}`)));
  program.on("error", ({ message }) => send(id, "f", Buffer.from(message)));
  program.on("exit", (code) => send(id, "x", Buffer.from(`${code ?? 1}`)));
  program.on("close", () => programs.delete(id));
}

function handleFrame(id: number, kind: string, bytes: Buffer): void {
  if (kind === "s") return start(id, JSON.parse(bytes.toString()));
  const program = programs.get(id);
  if (program === undefined) return;
  switch (kind) {
    case "i":
      program.stdin!.write(bytes);
      break;
    case "I":
      program.stdin!.end();
      break;
    case "h":
      program.stdout!.pause();
      break;
    case "r":
      program.stdout!.resume();
      break;
    case "k":
      program.kill("SIGKILL");
      break;
  }
}

let rest: Buffer = Buffer.alloc(0);
socket.on("data", (chunk: Buffer) => {
  rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  for (;;) {
    if (rest.length < HEADER_BYTES) return;
    const end = HEADER_BYTES + rest.readUInt32BE(0);
    if (rest.length < end) return;
    const bytes = Buffer.from(rest.subarray(HEADER_BYTES, end));
    const [id, kind] = [rest.readUInt32BE(4), rest.toString("latin1", 8, 9)];
    rest = rest.subarray(end);
    handleFrame(id, kind, bytes);
  }
});
socket.on("error", () => {});
socket.on("close", () => {
  // The test has ended or was killed.
  for (const program of programs.values()) program.kill("SIGKILL");
  process.exit(0);
});
