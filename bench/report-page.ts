/**
 * How long the page of a report of many hosts takes to open: from going to the file until the browser has drawn it and
 * is idle, in a new tab of a headless Chromium each time. The peer is an empty page, opened in turn. The hosts are made
 * up from the examples, each with names and use of its own; those of the second report were sampled for a day, too.
 *
 *   npx tsx bench/report-page.ts [HOSTS]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { reportPage } from '../src/cli/report-page.ts';
import { htmlReport } from '../src/report/html/html-report.ts';
import { CHROMIUM } from '../test/tools.ts';
import { fleet } from '../test/unit/report/a-report.ts';

const AIM_SECONDS = 3;
const AIM_MEGABYTES = 5;
const RUNS = 5;
const count = Number(process.argv[2] ?? 1000);

const assets = await reportPage();
const pages: Readonly<Record<string, string>> = {
  'an empty page': '<!doctype html><title>empty</title><main></main>',
  [`${count} hosts`]: htmlReport(fleet(count), assets),
  [`${count} hosts, sampled`]: htmlReport(fleet(count, true), assets),
};
const times = new Map<string, number[]>(Object.keys(pages).map((name) => [name, []]));
const dir = mkdtempSync(join(tmpdir(), 'tasksctl-bench-'));
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  userDataDir: join(dir, 'profile'),
});
try {
  for (let run = 0; run < RUNS + 1; run++) {
    for (const [name, html] of Object.entries(pages)) {
      const file = join(dir, 'page.html');
      writeFileSync(file, html);
      const page = await browser.newPage();
      const started = performance.now();
      await page.goto(`file://${file}`);
      await page.waitForSelector('main');
      await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestIdleCallback(done)))');
      // The first run reads the browser into the page cache.
      if (run > 0) times.get(name)?.push((performance.now() - started) / 1000);
      await page.close();
    }
  }
} finally {
  await browser.close();
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
console.log(
  `${'page'.padEnd(22)} ${'MB'.padStart(6)} ${'median s'.padStart(9)} ${'worst s'.padStart(9)}   (${RUNS} runs each, in turn)`,
);
for (const [name, list] of times) {
  const megabytes = Buffer.byteLength(pages[name] ?? '') / 1e6;
  const numbers = [megabytes.toFixed(2).padStart(6), median(list).toFixed(2).padStart(9)];
  console.log(
    `${name.padEnd(22)} ${numbers.join(' ')} ${Math.max(...list)
      .toFixed(2)
      .padStart(9)}`,
  );
}
console.log(`aims for 1000 hosts: under ${AIM_SECONDS} s and ${AIM_MEGABYTES} MB`);
