/**
 * The limit of one test, in milliseconds. The slowest takes 35 s on two idle
 * cores; a busy machine may take eight times as long.
 */
export const TEST_LIMIT_MS = 300_000;
