/** A real browser without a window, which speaks to this machine alone. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { chromium } from 'playwright-core';

/** Where distributions put Chromium; `CHROMIUM` names another. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const INSTALL =
  'apt-get update && DEBIAN_FRONTEND=noninteractive ' +
  'apt-get install --yes --no-install-recommends chromium fonts-dejavu-core';
const INSTALL_TIMEOUT_MS = 240_000;

const find = () => process.env.CHROMIUM ?? PLACES.find((place) => existsSync(place));

/** Root gets one installed where that is possible. */
function findOrInstall() {
  if (find() === undefined && process.getuid?.() === 0) {
    spawnSync('sh', ['-c', INSTALL], { stdio: 'ignore', timeout: INSTALL_TIMEOUT_MS });
  }
  return find();
}

const EXECUTABLE = findOrInstall();

/** Why no browser test can run here; `false` where they can. */
export const NO_BROWSER = EXECUTABLE === undefined && 'there is no Chromium: apt install chromium';

const LAUNCH_TIMEOUT_MS = 60_000;
const PAGE_TIMEOUT_MS = 30_000;

export function launch() {
  return chromium.launch({
    executablePath: EXECUTABLE,
    timeout: LAUNCH_TIMEOUT_MS,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/**
 * Opens a page in its own context and records its requests and console errors.
 *
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} options
 */
export async function open(browser, url, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PAGE_TIMEOUT_MS);
  const page = await context.newPage();
  const requests = [];
  const complaints = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  const response = await page.goto(url);
  return { page, response, requests, complaints, close: () => context.close() };
}

/** Runs in the browser: the texts whose contrast is below 4.5 to 1 (WCAG 2, AA). */
export function faintTexts() {
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { parentElement: element, textContent } = texts.currentNode;
    if (textContent.trim() === '' || element.closest('svg') !== null) continue;
    const [light, dark] = [
      luminance(channels(getComputedStyle(element).color)),
      luminance(backgroundOf(element)),
    ].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)}: ${textContent.trim()}`);
  }
  return faint;
}
