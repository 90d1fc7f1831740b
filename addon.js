'use strict';

// Loads the native addon. Where there is none that fits, it says so in one error: what was looked for, why it is usually
// missing, and what to do. The search itself is that of the napi CLI's loader, native.js.

/** The platforms with a package of their own, as the loader names them. */
const PREBUILT = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-x64-msvc',
];

const FROM_SOURCE = `It can be built from source, with Rust and a C compiler: in a clone of git-push-daemon run "npm pack", then here
"npm install" with the path of the tarball that it made. README.md has the steps under "Install".`;

module.exports = load();

function load() {
  try {
    return require('./native.js');
  } catch (cause) {
    throw Object.assign(new Error(explanation(cause), { cause }), {
      code: 'ERR_PUSH_DAEMON_ADDON_NOT_LOADED',
    });
  }
}

function explanation(error) {
  if (/^Cannot find module '.\/native.js'/.test(error.message)) {
    return 'git-push-daemon is not built here: this is its source. "npm run setup" builds it.';
  }
  // The loader's own words are about npm alone; below them is what came of each place, without its code.
  const causes = [...causesOf(error)];
  const broken = causes.find(({ message }) => {
    return !/^Unsupported |^Cannot find module '(?:\.\/|git-push-daemon-)/.test(message);
  });
  if (broken !== undefined) {
    return `The native addon of git-push-daemon is there, but does not load on ${platform()}:
  ${broken.message}
Usually node_modules was copied from a system with another C library (Alpine has musl, Debian has glibc) or processor, or
the C library is older than the addon needs. Install the packages where they run: "npm ci" in the image itself.
${FROM_SOURCE}`;
  }
  const names = causes
    .map(({ message }) => /^Cannot find module 'git-push-daemon-([\w-]+)'/.exec(message)?.[1])
    .filter((name) => PREBUILT.includes(name));
  if (names.length === 0) {
    return `git-push-daemon has no native addon for ${platform()}. There is one for ${PREBUILT.join(', ')}.
${FROM_SOURCE}`;
  }
  return `The native addon of git-push-daemon is not installed for ${platform()}: there is no package ${names
    .map((name) => `git-push-daemon-${name}`)
    .join(' or ')}.
It is an optional dependency. Usually one of these has left it out:
  - an installation without optional dependencies: --omit=optional, --no-optional, omit=optional in an .npmrc
  - a package-lock.json or node_modules that was made on another platform: remove both, and install on this one
  - a tarball that "npm pack" made on another platform: it has the addon of that one alone
${FROM_SOURCE}`;
}

/** What is below an error, the outermost first. */
function* causesOf(error) {
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) yield cause;
}

function platform() {
  const words = [process.platform, process.arch];
  if (process.platform === 'linux') {
    process.report.excludeNetwork = true;
    const glibc = process.report.getReport().header.glibcVersionRuntime;
    words.push(glibc === undefined ? 'without glibc' : `with glibc ${glibc}`);
  }
  return words.join(' ');
}
