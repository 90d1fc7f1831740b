/** Every case, in the order in which they run. */

import { backlog } from './backlog.mjs';
import { burst } from './burst.mjs';
import { latency } from './latency.mjs';
import { many } from './many.mjs';
import { clientWork, pushes } from './pushes.mjs';
import { resources } from './resources.mjs';
import { restore } from './restore.mjs';
import { start } from './start.mjs';

export const allCases = [
  ...pushes,
  ...clientWork,
  ...backlog,
  ...start,
  ...burst,
  ...latency,
  ...resources,
  ...many,
  ...restore,
];
