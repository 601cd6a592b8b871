/**
 * Loads the package `ws` when it is called. A CommonJS file can do that without
 * a promise, and the bundle then contains the package.
 *
 * @module
 */
module.exports = () => require("npm:/ws@8.23.0").WebSocket;
