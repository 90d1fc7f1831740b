'use strict';

/** An error about options, with the code that `startPushDaemon` uses for the same. */
function misuse(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_PUSH_DAEMON_INVALID_OPTION' });
}

module.exports = { misuse };
