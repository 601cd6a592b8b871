/**
 * What limits a test. A limit is at least eight times what it limits takes on
 * two idle cores, so that a busy machine reaches none.
 *
 * @module
 */

/** How long one test may take, in milliseconds: the slowest takes 36 s. */
export const TEST_LIMIT_MS = 400_000;

/** How long a test waits for one thing, in milliseconds: the slowest takes 25 s. */
export const WAIT_LIMIT_MS = 240_000;
