/** Runs the command git on one bare repository. */

import { spawn } from 'node:child_process';
import { buffer, text } from 'node:stream/consumers';

/** git exited with a code that its caller did not expect; the message has what it printed. */
export class GitError extends Error {}

export interface Output {
  readonly code: number | null;
  readonly stdout: Buffer;
}

/** Runs git with `input` as its standard input. Throws unless it exits with 0, or with 1 where `accepts` allows that. */
export async function runGit(
  gitdir: string,
  args: readonly string[],
  { input = '', accepts = [0] }: { input?: string; accepts?: readonly number[] } = {},
): Promise<Output> {
  const child = spawn('git', [`--git-dir=${gitdir}`, ...args], { stdio: 'pipe' });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // A git that fails does not read its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([
    exited,
    buffer(child.stdout),
    text(child.stderr),
  ]);
  if (code === null || !accepts.includes(code)) {
    throw new GitError(`git ${args[0]} exited with ${code}: ${stderr.trim()}`);
  }
  return { code, stdout };
}
