/** The environment the service runs in, checked once at start so that nothing else reads `process.env`. */

import envSchema from 'env-schema';
import type { BackoffConfig } from 'git-push-daemon';
import { type Static, Type } from 'typebox';

const EnvSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1' }),
  /** 0 lets the system choose; the log says which. */
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535 }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
  }),
  /** The bare clone that holds the data. */
  CFP_DATA_REPO_PATH: Type.String({ minLength: 1 }),
  /** Where the data belongs in the end. Without it nothing is pushed. */
  CFP_DATA_REMOTE: Type.Optional(Type.String()),
  CFP_DATA_BRANCH: Type.Optional(Type.String({ minLength: 1 })),
  /** `exponential`, or a `BackoffConfig` as JSON. */
  CFP_DATA_BACKOFF: Type.String({ default: 'exponential' }),
  /** How often one tip is tried again; without it, until the remote has it. */
  CFP_DATA_MAX_RETRIES: Type.Optional(Type.Integer({ minimum: 0 })),
  /** How long a shutdown goes on pushing, in milliseconds. */
  CFP_DATA_STOP_TIMEOUT_MS: Type.Integer({ default: 20_000, minimum: 0 }),
  /** `sync` answers a write once its commit is on the remote; `background` once it is committed. */
  CFP_DATA_PUSH_MODE: Type.Enum(['background', 'sync'], { default: 'background' }),
  /** How long such a write, or a flush, waits before it is answered with 202, in milliseconds. */
  CFP_DATA_PUSH_TIMEOUT_MS: Type.Integer({ default: 5_000, minimum: 0 }),
  /** How old an unpushed commit may grow before `/healthz/push` answers 503, in milliseconds. */
  CFP_DATA_MAX_LAG_MS: Type.Integer({ default: 300_000, minimum: 0 }),
  /** The bearer token of the admin routes. Without it they answer 503. */
  ADMIN_TOKEN: Type.Optional(Type.String()),
});

export type Env = Omit<Static<typeof EnvSchema>, 'CFP_DATA_BACKOFF'> & {
  CFP_DATA_BACKOFF: 'exponential' | BackoffConfig;
};

/**
 * Reads and checks the environment.
 *
 * @throws {Error} that names each variable that is missing or wrong
 */
export function readEnv(variables: NodeJS.ProcessEnv = process.env): Env {
  const env = envSchema<Static<typeof EnvSchema>>({ schema: EnvSchema, data: variables });
  if (env.CFP_DATA_PUSH_MODE === 'sync' && !env.CFP_DATA_REMOTE) {
    throw new Error(
      'CFP_DATA_PUSH_MODE is sync, which waits for a remote, but CFP_DATA_REMOTE is not set',
    );
  }
  return { ...env, CFP_DATA_BACKOFF: parseBackoff(env.CFP_DATA_BACKOFF) };
}

/** Only the JSON is checked here; the daemon checks the numbers, and says what is wrong with them. */
function parseBackoff(text: string): 'exponential' | BackoffConfig {
  if (text === 'exponential') return text;
  try {
    return JSON.parse(text) as BackoffConfig;
  } catch (cause) {
    throw new Error(
      `CFP_DATA_BACKOFF must be "exponential" or JSON such as {"base":1000,"multiplier":2,"cap":60000}, but is ${text}`,
      { cause },
    );
  }
}
