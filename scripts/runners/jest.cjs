/** The cases under Jest. */

// `jest` itself is already declared in every file.
const globals = require('@jest/globals');

const { define } = require('./cases.cjs');

define({
  ...globals,
  load: async () => {
    globals.jest.resetModules();
    return require('git-push-daemon');
  },
});
