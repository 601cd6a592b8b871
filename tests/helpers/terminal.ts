/**
 * Runs a program in a terminal of a certain size.
 *
 * @module
 */

/** A size in characters. */
interface Size {
  readonly columns: number;
  readonly rows: number;
}

/**
 * Returns a function for `ProxyProcess` that runs the program in a terminal.
 * The output begins with the lines `tty PATH`, `pid PID` and `start`, and ends
 * with `code CODE`. A line ends with CR LF.
 */
export function shellInTerminal(
  { columns, rows }: Size,
): (command: string, args: string[]) => [string, string[]] {
  const start = 'echo "pid $$"; echo start; exec "$@"';
  return (command, args) => {
    const words = ["sh", "-c", start, "sh", command, ...args];
    const line = words.map((word) => `'${word}'`).join(" ");
    const script = [
      // Ctrl+C must not end this shell, which prints the exit code.
      ...["trap : INT TERM HUP", 'echo "tty $(tty)"'],
      ...[
        `stty cols ${columns} rows ${rows}`,
        line,
        'printf "\\ncode %s\\n" $?',
      ],
    ].join("; ");
    return ["script", [
      "--quiet",
      "--return",
      "--command",
      script,
      "/dev/null",
    ]];
  };
}

/** Changes the size of a terminal. */
export async function resizeTerminal(
  path: string,
  { columns, rows }: Size,
): Promise<void> {
  const size = ["cols", `${columns}`, "rows", `${rows}`];
  // The option is that of GNU; others have `-f`.
  await new Deno.Command("stty", { args: ["-F", path, ...size] }).output();
}
