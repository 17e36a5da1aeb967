// Draws docs/report.png anew from saved hosts of the lab under made-up names: npx tsx scripts/report-screenshot.ts
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import packageJson from '../package.json' with { type: 'json' };
import { reportPage } from '../src/cli/report-page.ts';
import { tightestRow } from '../src/report/host-report.ts';
import { htmlReport } from '../src/report/html/html-report.ts';
import { CHROMIUM } from '../test/tools.ts';
import { exampleReport, exampleUse, fleet, savedHosts, unitUse } from '../test/unit/report/a-report.ts';

const hostname = 'web-0007.example.net';
const saved = savedHosts().find(({ hostname }) => hostname === 'debian-12');
if (saved === undefined) throw new Error('the example is gone');
// The one that is saved is to be the worst: it is the one that is shown.
const others = fleet(60).hosts.filter((host) => (tightestRow(host.rows)?.used ?? 0) < 0.93);
const hosts = [
  ...others.filter((host) => host.hostname !== hostname).slice(0, 25),
  { ...saved, hostname, target: `admin@${hostname}` },
];
hosts.sort((a, b) => (tightestRow(b.rows)?.used ?? 0) - (tightestRow(a.rows)?.used ?? 0));
const report = {
  ...exampleReport,
  version: packageJson.version,
  hosts,
  use: [{ ...exampleUse(hostname), units: [unitUse('user-.slice', 256, 256, true)] }],
};
const dir = mkdtempSync(join(tmpdir(), 'tasksctl-screenshot-'));
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  userDataDir: join(dir, 'profile'),
});
try {
  const file = join(dir, 'report.html');
  writeFileSync(file, htmlReport(report, await reportPage()));
  const page = await browser.newPage();
  await page.setViewport({ width: 1240, height: 1400 });
  await page.goto(`file://${file}`);
  await page.waitForSelector('#use canvas');
  // A few of all the rows say what the others would.
  await page.$$eval('#hosts tbody tr', (rows) => {
    for (const row of rows.slice(2)) row.remove();
  });
  await page.$$eval('#host tbody tr', (rows) => {
    const telling = /^(-|batch|system|user|user-1000)\.slice$|^ci-runner\.service$|^session/;
    for (const row of rows) if (!telling.test(row.firstElementChild?.textContent ?? '')) row.remove();
  });
  await page.$$eval('#host .finding', (all) => {
    for (const one of all) one.remove();
  });
  const plans = await page.$eval('#plans', (section) => section.getBoundingClientRect().top);
  await page.screenshot({
    path: join(import.meta.dirname, '../docs/report.png'),
    clip: { x: 0, y: 0, width: 1240, height: plans - 10 },
    captureBeyondViewport: true,
  });
} finally {
  await browser.close();
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}
