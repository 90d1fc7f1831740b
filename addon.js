'use strict';

// Loads the native addon. If none fits, it throws one error that names what was looked for, the usual cause and the
// remedy. The search itself is native.js, the loader that the napi CLI generates.

/** The platforms that have a package, as the loader names them. */
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
"npm install" with the path of the tarball that it made. docs/deploying.md has the steps under "Building from source".`;

const USUAL_REASON = `Usually node_modules was copied from a system with another C library (Alpine has musl, Debian has glibc) or processor, or
the C library is older than the addon needs. Install the packages where they run: "npm ci" in the image itself.
${FROM_SOURCE}`;

const NO_ADDON = /^What was loaded is no addon/;

const OUT_OF_BUNDLE = `Leave the package out of the bundle, and install it where the bundle runs:
  - esbuild, tsup: external git-push-daemon ("--external:git-push-daemon")
  - webpack: externalsPresets: { node: true }, externals: [{ 'git-push-daemon': 'commonjs git-push-daemon' }]
  - Rollup, Vite: external: [/^git-push-daemon/] (of a Vite server: ssr.external)
  - Next.js: serverExternalPackages: ['git-push-daemon']`;

/** The directory of the package; unknown in an ES module that a bundler has made. */
const HERE = typeof __dirname === 'string' ? __dirname : process.cwd();

module.exports = load();

function load() {
  try {
    const native = require('./native.js');
    // A bundler may replace the addon by the path or the content of its file.
    if (typeof native.NativeDaemon === 'function') return native;
    throw new Error(`What was loaded is no addon, but of the type ${typeof native}`);
  } catch (cause) {
    throw Object.assign(new Error(explanation(cause), { cause }), {
      code: 'ERR_PUSH_DAEMON_ADDON_NOT_LOADED',
    });
  }
}

function explanation(error) {
  // The loader's own message is only about npm; its causes are the errors of each place that it tried.
  const causes = [...causesOf(error)];
  const forbidden = [error, ...causes].find(isForbidden);
  if (forbidden !== undefined) return forbiddance(forbidden);
  const broken =
    causes.find(({ message }) => {
      return !/^Unsupported |^Cannot find module '(?:\.\/|git-push-daemon-)/.test(message);
    }) ?? (NO_ADDON.test(error.message) ? error : undefined);
  const bundle = bundleOf();
  if (bundle !== undefined) {
    return `The native addon of git-push-daemon does not load from a bundle: a bundler has put the package into ${bundle}, and the
addon, a .node file, is not where it is looked for there.
  ${(broken ?? causes.at(-1) ?? error).message.split('\n', 1)[0]}
${OUT_OF_BUNDLE}`;
  }
  if (/^Cannot find module '.\/native.js'/.test(error.message)) {
    return 'git-push-daemon is not built here: this is its source. "npm run setup" builds it.';
  }
  if (broken !== undefined) {
    return `The native addon of git-push-daemon is there, but does not load on ${platform()}:
  ${broken.message}
${specialReason(broken.message) ?? USUAL_REASON}`;
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

function isForbidden({ code, message }) {
  return (
    code === 'ERR_DLOPEN_DISABLED' ||
    code === 'ERR_ACCESS_DENIED' ||
    /loading addons is disabled|Access to this API has been restricted|--allow-ffi/.test(message)
  );
}

/** The message for an addon that a flag of the process forbids, with the flag that allows it. */
function forbiddance({ message }) {
  const begin = `The native addon of git-push-daemon must not be loaded in this process:
  ${message}`;
  if (/--allow-ffi/.test(message)) {
    return `${begin}
Start Deno with --allow-ffi.`;
  }
  if (!/addons is disabled/.test(message)) {
    return `${begin}
Node's permission model is on. Start Node with "--allow-fs-read=${HERE}", with one more for each place that a link of its
node_modules leads to, as pnpm makes them, and with --allow-addons.`;
  }
  if (process.permission === undefined) {
    return `${begin}
Start Node without --no-addons: it is on the command line, in NODE_OPTIONS, or among the execArgv of a worker.`;
  }
  if (!process.allowedNodeEnvironmentFlags.has('--allow-addons')) {
    return `${begin}
Node's permission model is on, and in Node ${process.versions.node} it allows no addon: take a newer Node, which has --allow-addons, or start
this one without the permission model.`;
  }
  return `${begin}
Node's permission model is on. Start Node with --allow-addons besides --allow-fs-read, on the command line or in NODE_OPTIONS. What the
addon does (read the repository, run git and ssh) the permission model does not restrict: it needs no other flag.`;
}

/** The likely cause, where the system's message gives one away. */
function specialReason(message) {
  if (/\.(?:zip|asar)[\\/]/.test(message)) {
    return 'It lies in an archive, of which the system can load nothing: with Yarn run "yarn unplug git-push-daemon", with Electron set asarUnpack.';
  }
  if (/failed to map segment|Operation not permitted/.test(message)) {
    return 'The file system may be mounted with noexec, or a security profile forbids to run what is there: install the package elsewhere.';
  }
  if (NO_ADDON.test(message)) {
    return 'Something stands in its place, such as a mock or a module map of a test runner: leave the files that end in .node out of that.';
  }
  return undefined;
}

/** The file that a bundler has put this module into, or undefined. */
function bundleOf() {
  const file = typeof __filename === 'string' ? __filename : undefined;
  // biome-ignore lint/correctness/noUndeclaredVariables: webpack replaces it
  if (typeof __webpack_require__ === 'function') return 'a file of webpack';
  return file !== undefined && /(?:^|[\\/])addon\.js$/.test(file)
    ? undefined
    : (file ?? 'an ES module');
}

/** The causes of an error, the outermost first. */
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
