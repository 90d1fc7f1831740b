/** The threads, descriptors and children of a process, read from /proc. Linux only. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The name under which the daemon's threads show; the kernel keeps 15 characters of it. */
const THREAD_NAME = 'git-push-daemon';

function list(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function readLink(file) {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}

/** The names of a process's threads. */
export function threads(pid = process.pid) {
  return list(`/proc/${pid}/task`)
    .map((id) => read(`/proc/${pid}/task/${id}/comm`).trim())
    .filter(Boolean);
}

/** The daemons' own threads. */
export function daemonThreads(pid = process.pid) {
  return threads(pid).filter((name) => name.startsWith(THREAD_NAME));
}

/** The targets of a process's open descriptors, such as `anon_inode:inotify` or a path. */
export function descriptors(pid = process.pid) {
  return list(`/proc/${pid}/fd`)
    .map((descriptor) => readLink(`/proc/${pid}/fd/${descriptor}`))
    .filter(Boolean);
}

/** The files that a process has open or mapped into its memory; ` (deleted)` follows the path of one that is gone. */
export function filesOf(pid = process.pid) {
  const mapped = read(`/proc/${pid}/maps`)
    .split('\n')
    .map((line) => line.split(/ +/).slice(5).join(' '));
  return [...new Set([...descriptors(pid), ...mapped])].filter((file) => file.startsWith('/'));
}

/** The descriptors that watch files. */
export function inotifyDescriptors(pid = process.pid) {
  return descriptors(pid).filter((target) => target.includes('inotify'));
}

/** The process ids of a process's children, including zombies. */
export function children(pid = process.pid) {
  return list(`/proc/${pid}/task`).flatMap((id) =>
    read(`/proc/${pid}/task/${id}/children`).split(' ').filter(Boolean).map(Number),
  );
}

/** The process ids of a process's children, of theirs, and so on. */
export function descendants(pid = process.pid) {
  return children(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** A process's command line. */
export function commandLine(pid) {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

/** The command lines of all processes that mention `text`, such as a repository's path. */
export function processesOf(text) {
  return otherProcesses()
    .map((pid) => ({ pid, command: commandLine(pid) }))
    .filter(({ command }) => command.includes(text));
}

/** The process ids of the other processes whose working directory is `directory` or below it. */
export function processesIn(directory) {
  return otherProcesses().filter((pid) =>
    `${readLink(`/proc/${pid}/cwd`)}/`.startsWith(`${directory}/`),
  );
}

function otherProcesses() {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

/** Sends a signal to a process, or to the group `-pid`, unless it has ended. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** The fields of a process's `stat` that follow its name, the state first. */
function statOf(pid) {
  return read(`/proc/${pid}/stat`).replace(/.*\) /s, '').split(' ');
}

/** The process id of a process's parent. */
export function parentOf(pid) {
  return Number(statOf(pid)[1]);
}

/** The process group of a process. */
export function groupOf(pid) {
  return Number(statOf(pid)[2]);
}

const statusBytes = (pid, name) => {
  const [, kilobytes] =
    read(`/proc/${pid}/status`).match(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm')) ?? [];
  return Number(kilobytes) * 1024;
};

/** Resident memory, in bytes. */
export function residentBytes(pid = process.pid) {
  return statusBytes(pid, 'VmRSS');
}

/** The part that no file backs, so that no other process can share it. */
export function anonymousBytes(pid = process.pid) {
  return statusBytes(pid, 'RssAnon');
}

/** Whether a process runs; a zombie does not. */
export function isRunning(pid) {
  return /^\d+ \(.*\) [^ZX]/s.test(read(`/proc/${pid}/stat`));
}
