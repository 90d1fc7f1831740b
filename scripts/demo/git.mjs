/** The git command, for the demo's checks and for the actions of its people. */

import { execFile } from 'node:child_process';
import { devNull } from 'node:os';
import { promisify } from 'node:util';

import { Failed } from '../process.mjs';

const execute = promisify(execFile);

/** This process's environment without variables that select another repository. */
export function cleanEnvironment() {
  const env = { ...process.env, GIT_TERMINAL_PROMPT: '0' };
  for (const name of ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_OBJECT_DIRECTORY']) {
    delete env[name];
  }
  return env;
}

/** The same without personal git settings, for temporary folders only. */
export function isolatedEnvironment() {
  return { ...cleanEnvironment(), GIT_CONFIG_GLOBAL: devNull, GIT_CONFIG_NOSYSTEM: '1' };
}

/** The text without the user and password of any URL in it, except for ssh, where the user is no secret. */
export function withoutSecrets(text) {
  return text.replace(/(?<!ssh)(:\/\/)[^/\s]*@/g, '$1***@');
}

/** Runs git as a person of this name; resolves to its output. */
export function gitAs(name, env) {
  const email = `${name.toLowerCase().replaceAll(' ', '.')}@example.org`;
  const identity = {
    GIT_AUTHOR_NAME: name,
    GIT_AUTHOR_EMAIL: email,
    GIT_COMMITTER_NAME: name,
    GIT_COMMITTER_EMAIL: email,
  };
  return async (folder, ...args) => {
    try {
      const { stdout } = await execute('git', args, { cwd: folder, env: { ...env, ...identity } });
      return stdout.trim();
    } catch (error) {
      const said = error.stderr ?? error.message;
      throw new Failed(withoutSecrets(`git ${args.join(' ')} failed in ${folder}:\n${said}`));
    }
  };
}
