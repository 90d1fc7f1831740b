/** A program that takes the place of ssh, and a remote that is reached by it. */

import { makeScript } from './gate.mjs';

/**
 * Reaches the remote of a pair by ssh, whose program runs what it is to run on this machine: what is looked at is the
 * process that is left waiting. Pushes through a real sshd are in `tests/ssh`.
 */
export function overSsh(t, { repo, remote }) {
  const ssh = makeScript(t, 'for command; do :; done', 'exec sh -c "exec $command"');
  repo.git('remote', 'set-url', 'origin', `ssh://127.0.0.1${remote.path}`);
  repo.git('config', 'core.sshCommand', ssh);
  repo.git('config', 'ssh.variant', 'ssh');
}
