/**
 * The functions of the C library that the benchmark's client calls. With them
 * the client waits in the kernel and not in an event loop, and it can give a
 * program either kind of stdin and stdout: pipes or socketpairs.
 *
 * @module
 */

const library = Deno.dlopen("libc.so.6", {
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: {
    parameters: ["buffer", "i32", "i32"],
    result: "i32",
  },
  posix_spawn_file_actions_addopen: {
    parameters: ["buffer", "i32", "buffer", "i32", "u32"],
    result: "i32",
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  posix_spawnattr_setsigdefault: {
    parameters: ["buffer", "buffer"],
    result: "i32",
  },
});
const libc = library.symbols;

// The constants of Linux that are used below.
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const CLOEXEC = 0o2000000;
const F_SETFL = 4;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_WRONLY_CREAT_APPEND = 0o2101;
const WNOHANG = 1;
const SIGPIPE = 13;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POLLIN = 1;
const POLLOUT = 4;
/** The sizes of the opaque structures are below this on each system. */
const OPAQUE_BYTES = 512;

/** What stdin and stdout of a program are. */
export type Channel = "pipe" | "socketpair";

/** Both ends of a one-way channel. */
interface Ends {
  readonly read: number;
  readonly write: number;
}

/** Throws unless a function has returned 0. */
function check(name: string, result: number): void {
  if (result !== 0) throw new Error(`${name} failed (${result})`);
}

/** Returns a text as C expects it. */
function cText(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** Returns an array of texts as C expects it. `texts` must stay reachable. */
function cTexts(texts: Uint8Array<ArrayBuffer>[]): BigUint64Array<ArrayBuffer> {
  const pointers = texts.map((text) =>
    BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(text)))
  );
  return BigUint64Array.from([...pointers, 0n]);
}

/** Opens a pipe or a socketpair. No child process inherits it by itself. */
function openChannel(channel: Channel): Ends {
  const ends = new Int32Array(2);
  if (channel === "pipe") {
    check("pipe2", libc.pipe2(ends, CLOEXEC));
  } else {
    // Node connects its child processes in the same way.
    const type = SOCK_STREAM | CLOEXEC;
    check("socketpair", libc.socketpair(AF_UNIX, type, 0, ends));
  }
  return { read: ends[0]!, write: ends[1]! };
}

/** A program that was started, with our ends of its stdin and stdout. */
export interface Spawned {
  readonly pid: number;
  readonly stdin: number;
  readonly stdout: number;
}

/** Starts a program. Its stderr is appended to a file. */
export function spawn(
  [command, ...args]: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  channel: Channel,
  stderrFile: string,
): Spawned {
  const stdin = openChannel(channel);
  const stdout = openChannel(channel);
  const actions = new Uint8Array(OPAQUE_BYTES);
  const attributes = new Uint8Array(OPAQUE_BYTES);
  check("init", libc.posix_spawn_file_actions_init(actions));
  check("init", libc.posix_spawnattr_init(attributes));
  for (const [from, to] of [[stdin.read, 0], [stdout.write, 1]] as const) {
    const result = libc.posix_spawn_file_actions_adddup2(actions, from, to);
    check("adddup2", result);
  }
  check(
    "addopen",
    libc.posix_spawn_file_actions_addopen(
      ...[actions, 2, cText(stderrFile), O_WRONLY_CREAT_APPEND, 0o600] as const,
    ),
  );
  // Deno ignores SIGPIPE. Without this, the program would inherit that.
  const signals = new Uint8Array(128);
  signals[(SIGPIPE - 1) >> 3] = 1 << ((SIGPIPE - 1) & 7);
  check(
    "setsigdefault",
    libc.posix_spawnattr_setsigdefault(attributes, signals),
  );
  check(
    "setflags",
    libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF),
  );
  const argTexts = [command, ...args].map(cText);
  const envTexts = Object.entries(env).map(([name, value]) =>
    cText(`${name}=${value}`)
  );
  const pid = new Int32Array(1);
  const result = libc.posix_spawn(
    ...[pid, cText(command), actions, attributes] as const,
    ...[cTexts(argTexts), cTexts(envTexts)] as const,
  );
  for (const fd of [stdin.read, stdout.write]) libc.close(fd);
  const ours = { pid: pid[0]!, stdin: stdin.write, stdout: stdout.read };
  if (result !== 0) {
    closeFd(ours.stdin);
    closeFd(ours.stdout);
    throw new Error(`${command} could not be started (${result})`);
  }
  for (const fd of [ours.stdin, ours.stdout]) {
    libc.fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  }
  return ours;
}

/** Reads what is there. Returns 0 at the end, and -1 if nothing is there. */
export function read(fd: number, into: Uint8Array<ArrayBuffer>): number {
  return Number(libc.read(fd, into, BigInt(into.length)));
}

/** Writes as much as fits. Returns how much, or -1 if nothing did. */
export function write(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  return Number(libc.write(fd, bytes, BigInt(bytes.length)));
}

/** Closes our end. */
export function closeFd(fd: number): void {
  libc.close(fd);
}

const polled = new Int32Array(4);
const polledFlags = new Int16Array(polled.buffer);

/**
 * Waits until one descriptor can be read, or the other can be written (-1:
 * none). An end that was closed counts as readable or writable.
 */
export function waitReady(
  readFd: number,
  writeFd: number,
  limitMs: number,
): { readonly canRead: boolean; readonly canWrite: boolean } {
  polled[0] = readFd;
  polled[1] = POLLIN;
  polled[2] = writeFd;
  polled[3] = POLLOUT;
  libc.poll(polled, 2n, Math.max(0, Math.ceil(limitMs)));
  return { canRead: polledFlags[3] !== 0, canWrite: polledFlags[7] !== 0 };
}

/** Pauses without an event loop. */
export function sleep(ms: number): void {
  waitReady(-1, -1, ms);
}

/** Returns whether a child process has ended, and collects it if so. */
export function hasEnded(pid: number): boolean {
  return libc.waitpid(pid, new Int32Array(1), WNOHANG) !== 0;
}

/**
 * Returns the CPU time that all threads of a process have used, in
 * milliseconds, or `undefined` if there is no such process. `/proc` knows it
 * to 10 ms only.
 */
export function cpuMs(pid: number): number | undefined {
  const time = new BigInt64Array(2);
  // The number of the clock of another process, see clock_getcpuclockid(3).
  if (libc.clock_gettime((~pid << 3) | 2, time) !== 0) return undefined;
  return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
}
