/** The cases under vitest. */

import { afterAll, expect, test, vi } from 'vitest';

import { define } from './cases.cjs';

define({
  test,
  expect,
  afterAll,
  load: async () => {
    vi.resetModules();
    return await import('git-push-daemon');
  },
});
