import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { reportPage } from '../../../src/cli/report-page.ts';
import { htmlReport } from '../../../src/report/html/html-report.ts';
import type { Report } from '../../../src/report/report.ts';
import { CHROMIUM, toolMissing } from '../../tools.ts';
import {
  exampleHost,
  exampleReport,
  exampleRollout,
  exampleUse,
  fleet,
  HOSTILE,
  hostileReport,
  UNSEEN,
} from './a-report.ts';

const assets = await reportPage();

/** The data that a page holds, as text. */
function dataOf(html: string): string {
  return /<script type="application\/json" id="report">(.*)<\/script>\n<script>/s.exec(html)?.[1] ?? '';
}

describe('htmlReport', () => {
  it('lets nothing run or load but its own script and style', () => {
    const html = htmlReport(exampleReport, assets);
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1];
    const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
    expect(policy?.split('; ')).toEqual([
      "default-src 'none'",
      `script-src ${hash(assets.script)}`,
      `style-src ${hash(assets.style)}`,
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    expect(html.match(/<script/g)).toHaveLength(2);
  });

  it('has hostile text in its data only, where it ends nothing and hides nothing', () => {
    const html = htmlReport(hostileReport(), assets);
    const data = dataOf(html);
    expect(data).not.toContain('<');
    expect(UNSEEN.exec(data)).toBeNull();
    expect(JSON.parse(data)).toMatchObject({ hosts: [{ name: HOSTILE[0] }] });
    const around = html.replace(data, '').replace(assets.script, '').replace(assets.style, '');
    expect(around).not.toMatch(/alert|onerror|evil/);
  });

  it('takes no assets that end their element early', () => {
    expect(() => htmlReport(exampleReport, { ...assets, script: 'x = "</SCRIPT>"' })).toThrow('end early');
    expect(() => htmlReport(exampleReport, { ...assets, style: '</style>' })).toThrow('end early');
  });

  it.each([
    ['read', false],
    ['read and sampled for a day', true],
  ])('of 1,000 hosts that were %s is under 5 MB', (_, measured) => {
    const html = htmlReport(fleet(1000, measured), assets);
    expect(Buffer.byteLength(html)).toBeLessThan(5_000_000);
    expect(JSON.parse(dataOf(html)).hosts).toHaveLength(1000);
  });

  it('says how many units of a large fleet it has no chart of', () => {
    const use = Array.from({ length: 1000 }, (_, i) => {
      const { units, ...one } = exampleUse(`web${i}`);
      return { ...one, units: [...units, ...units] };
    });
    const page = JSON.parse(dataOf(htmlReport({ ...exampleReport, use }, assets)));
    expect(page.use[7]).toMatchObject({ omitted: 2 });
    expect(page.use[7].units).toHaveLength(4);
    // Of a series that is thinned the peaks are kept.
    const { series } = page.use[7].units[0];
    expect(series.length / 2).toBeLessThanOrEqual(30);
    expect(Math.max(...series.filter((_: number, i: number) => i % 2 === 1))).toBeGreaterThan(480);
  });
});

const missing = toolMissing(CHROMIUM);

describe.skipIf(missing !== null)('the page in a browser', () => {
  let dir = '';
  let browser: Browser;
  let page: Page;
  /** What the page complains of, asks for, or says in a dialog: nothing ever. */
  let trouble: string[] = [];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'tasksctl-page-'));
    browser = await puppeteer.launch({
      executablePath: CHROMIUM,
      // Chromium has no sandbox for root; the page is our own.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
      userDataDir: join(dir, 'profile'),
    });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    if (dir !== '') rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  afterEach(async () => {
    await page.close();
    expect(trouble).toEqual([]);
  });

  async function open(report: Report, scheme: 'light' | 'dark' = 'light', width = 1280): Promise<void> {
    const file = join(dir, 'report.html');
    writeFileSync(file, htmlReport(report, assets));
    trouble = [];
    page = await browser.newPage();
    page.on('console', (message) => trouble.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => trouble.push(`error: ${error}`));
    page.on('request', (request) => {
      const url = request.url();
      if (url !== `file://${file}` && url !== 'data:,') trouble.push(`request: ${url}`);
    });
    page.on('dialog', (dialog) => {
      trouble.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.setViewport({ width, height: 900 });
    await page.goto(`file://${file}`);
    await page.waitForSelector('main h2');
  }

  /** The texts of the visible elements that match. */
  function texts(selector: string): Promise<string[]> {
    return page.$$eval(selector, (all) =>
      all.filter((one) => one.checkVisibility()).map((one) => one.textContent ?? ''),
    );
  }

  /** What has the focus, in words. */
  function focused(): Promise<string> {
    return page.$$eval(':focus', ([element]) => {
      const label = element?.getAttribute('aria-label') ?? element?.textContent ?? '';
      return element === undefined
        ? ''
        : `${element.tagName.toLowerCase()} ${element.id || label.slice(0, 60)}`;
    });
  }

  /** Presses Tab until something like that has the focus. */
  async function tabTo(wanted: RegExp): Promise<string[]> {
    const passed: string[] = [];
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab');
      const now = await focused();
      passed.push(now);
      if (wanted.test(now)) return passed;
    }
    throw new Error(`never reached ${wanted}: ${passed.join(', ')}`);
  }

  it('shows all parts, and the host nearest to a limit with the files of each limit', async () => {
    await open(exampleReport);
    expect(await page.title()).toBe('Task limits of 2 hosts');
    expect(await texts('h2')).toEqual(['Fleet', 'Hosts', 'Host', 'Use', 'Plans', 'Runs']);
    expect(await texts('#host h3')).toEqual(['web1']);
    await page.click('#host details summary');
    expect(await texts('#host details li')).toEqual(
      exampleHost.rows.find(({ name }) => name === 'user-1000.slice')?.assignments,
    );
    await page.click('.plan > summary');
    await page.waitForSelector('.plan .change');
    expect((await texts('.plan .diff'))[0]).toContain('+TasksMax=16384\n');
    expect(await texts('.timeline > li strong')).toEqual(['admin@web1', 'admin@web2']);
  });

  it('draws the charts of the unit that is chosen, in both schemes', async () => {
    for (const scheme of ['light', 'dark'] as const) {
      if (scheme === 'dark') await page.close();
      await open(exampleReport, scheme);
      /** Colours on each canvas: a blank one has one. */
      const colours = () =>
        page.$$eval('#use canvas', (all) =>
          all.map((canvas) => {
            const { width, height } = canvas;
            const data = canvas.getContext('2d')?.getImageData(0, 0, width, height).data ?? new Uint8Array(4);
            return new Set(new Uint32Array(data.buffer)).size;
          }),
        );
      expect((await colours()).map((count) => count > 10)).toEqual([true, true]);
      expect((await texts('#use figcaption'))[0]).toContain('user-.slice on web1: peak 500, limit 500, 100%');
      // Of a profile there is a histogram only, and it is said why.
      await page.select('#use-unit', '2');
      expect((await colours()).map((count) => count > 10)).toEqual([true]);
      expect((await texts('#use figure .muted'))[0]).toContain('A profile has no order of time');
      expect((await texts('#use figcaption'))[0]).toContain('limit not known');
    }
  });

  it('filters by words and by use, and orders the cells', async () => {
    const report = fleet(40);
    await open(report);
    // Without the domain that all of them are in.
    const shown = async () => (await texts('.heat .host')).map((name) => `${name}.example.net`);
    const shares = report.hosts.map(({ hostname, rows }) => ({
      hostname,
      used: Math.max(...rows.map(({ used }) => used ?? -1)),
    }));
    expect(await texts('#shown')).toEqual(['40 of 40 hosts']);
    const all = await shown();
    expect(all[0]).toBe([...shares].sort((a, b) => b.used - a.used)[0]?.hostname);
    await page.select('#order', 'name');
    expect(await shown()).toEqual(report.hosts.map(({ hostname }) => hostname));

    await page.type('#search', 'WEB-0007');
    expect(await shown()).toEqual(['web-0007.example.net']);
    expect(await texts('#hosts tbody th')).toEqual(['web-0007.example.net']);
    await page.locator('#search').fill('debian trixie');
    expect(await shown()).toEqual(
      report.hosts.filter(({ os }) => os.includes('trixie')).map(({ hostname }) => hostname),
    );
    // By a unit that only one host has.
    const own =
      report.hosts.flatMap(({ rows }) => rows).find(({ name }) => /^app-[0-9]+-/.test(name))?.name ?? '';
    await page.locator('#search').fill(own);
    expect(await shown()).toHaveLength(1);
    await page.locator('#search').fill('nothing has this');
    expect(await shown()).toEqual([]);
    expect(await texts('#shown')).toEqual(['0 of 40 hosts']);
    await page.locator('#search').fill('');
    await page.select('#level', 'near');
    expect(await shown()).toEqual(
      shares.filter(({ used }) => Math.round(used * 1000) >= 800).map(({ hostname }) => hostname),
    );
  });

  it('draws a rollout in time, names the hosts of a plan, and finds both by a host', async () => {
    const [plan] = exampleReport.plans;
    if (plan === undefined) throw new Error('there is no plan');
    const names = ['web1', 'web2', 'web3', 'web4', 'web5', 'web6'];
    await open({
      ...exampleReport,
      plans: [plan, { ...plan, hosts: names }],
      runs: [...exampleReport.runs, ...exampleRollout],
    });
    expect(await texts('.plan > summary')).toEqual([
      expect.stringMatching(/^web1 by policy/),
      expect.stringMatching(/^web1, web2, web3 and 3 more by policy/),
    ]);
    await page.click('.plan:nth-of-type(2) > summary');
    await page.waitForSelector('.plan:nth-of-type(2) .change');
    expect((await texts('.plan p'))[0]).toBe(`The same on 6 hosts: ${names.join(', ')}.`);
    expect((await texts('.timeline > li')).slice(2)).toEqual([
      expect.stringContaining('2025-06-01T04:00:00Z  rollout: begun 20250601T040000Z-77aa'),
      expect.stringContaining('04:00:10Z web1 rollout, wave 1 of 2: applied, after 10 s'),
      expect.stringContaining('04:01:00Z  rollout, wave 1 of 2: every check passed'),
      expect.stringContaining('04:01:40Z web2 rollout, wave 2 of 2: failed, after 30 s'),
    ]);
    /** Where each bar begins and ends within its track, in hundredths. */
    const bars = await page.$$eval('.track', (tracks) =>
      tracks.map((track) => {
        const [all, bar] = [track, track.firstElementChild ?? track].map((one) =>
          one.getBoundingClientRect(),
        );
        return [bar?.left, bar?.right].map((x) =>
          Math.round((((x ?? 0) - (all?.left ?? 0)) / (all?.width ?? 1)) * 100),
        );
      }),
    );
    expect(bars.map(([from]) => from)).toEqual([0, 0, 60, 70]);
    expect(bars[1]?.[1]).toBe(10);
    expect(bars[3]?.[1]).toBe(100);
    await page.type('#search', 'web5');
    expect(await texts('.plan > summary')).toEqual([expect.stringContaining('3 more')]);
    expect(await texts('.timeline > li')).toEqual([]);
    // A rollout is found whole by the name of its run.
    await page.locator('#search').fill('77aa');
    expect(await texts('.timeline > li')).toHaveLength(4);
  });

  it('sorts a table by its titles, numbers from the highest, what is not known last', async () => {
    const units = exampleHost.rows.map((row) => row.name);
    await open(exampleReport);
    const column = (n: number) => texts(`#host tbody tr > :nth-child(${n})`);
    expect(await column(1)).toEqual(units);
    const press = async (n: number) => {
      await page.click(`#host thead th:nth-child(${n}) button`);
      return page.$eval(`#host thead th:nth-child(${n})`, (head) => head.getAttribute('aria-sort'));
    };
    expect(await press(3)).toBe('descending');
    expect(await column(3)).toEqual(['812', '500', '490', '480', '300', '9']);
    expect(await press(3)).toBe('ascending');
    expect(await column(3)).toEqual(['9', '300', '480', '490', '500', '812']);
    expect(await press(1)).toBe('ascending');
    expect(await column(1)).toEqual([...units].sort());
    expect(await press(4)).toBe('descending');
    expect(await column(4)).toEqual(['500', '490', '12', '–', '–', '–']);
  });

  it('can be used with the keyboard alone', async () => {
    await open(exampleReport);
    const passed = await tabTo(/^button .*web1/);
    expect(passed).toEqual(
      expect.arrayContaining(['a Fleet', 'a Runs', 'input search', 'select level', 'select order']),
    );
    // From cell to cell by arrow keys; what has the focus is to be seen.
    await page.keyboard.press('ArrowRight');
    expect(await focused()).toMatch(/^button .*web2/);
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.keyboard.press('Enter');
    expect(await texts('#host h3')).toEqual(['web2']);
    expect(await focused()).toBe('h3 web2');
    expect(
      await page.$$eval('.heat [aria-pressed="true"]', (all) => all.map(({ textContent }) => textContent)),
    ).toEqual([expect.stringContaining('web2')]);
    await tabTo(/^button Tasks/);
    await page.keyboard.press('Space');
    expect(await page.$eval('#host thead th:nth-child(3)', (head) => head.getAttribute('aria-sort'))).toBe(
      'descending',
    );
    await tabTo(/^select use-unit/);
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction(`document.querySelector('#use figcaption').textContent.startsWith('nginx')`);
    await tabTo(/^summary web1/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.plan .change');
    await tabTo(/^pre Differences/);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
  ] as const)(
    'has nothing for axe-core to find fault with: %s, %i pixels wide',
    async (scheme, width) => {
      const example = { ...exampleReport, runs: [...exampleReport.runs, ...exampleRollout] };
      for (const report of [example, { ...hostileReport(), runs: exampleReport.runs }]) {
        if (report !== example) await page.close();
        await open(report, scheme, width);
        await page.$$eval('details', (all) => {
          for (const fold of all) fold.open = true;
        });
        await page.evaluate(axe.source);
        const violations = await page.evaluate(
          `axe.run(document).then(({ violations }) =>
            violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target.join(' ')).join(', ')))`,
        );
        expect(violations).toEqual([]);
        // What is too wide is scrolled in its own frame, not the page.
        expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      }
    },
    60_000,
  );

  it('shows hostile text as text', async () => {
    await open(hostileReport());
    await page.$$eval('details', (all) => {
      for (const fold of all) fold.open = true;
    });
    await page.waitForSelector('.plan .change');
    expect(await page.title()).toBe(`Task limits of ${HOSTILE[0]}`);
    expect(
      await page.$$('img, svg, iframe, object, embed, a:not(nav a), script:not(#report):not(:last-of-type)'),
    ).toEqual([]);
    expect(await texts('#host h3')).toEqual([HOSTILE[0]]);
    const units = await texts('#host tbody th');
    expect(units).toHaveLength(HOSTILE.length);
    for (const text of [HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4]])
      expect(units).toContain(`${text}.service`);
    expect(UNSEEN.exec(await page.$eval('body', (body) => body.innerText))).toBeNull();
    const handlers = await page.$$eval('*', (all) =>
      all.flatMap((one) => one.getAttributeNames().filter((name: string) => name.startsWith('on'))),
    );
    expect(handlers).toEqual([]);
  });

  it('prints its plans, also those nobody opened', async () => {
    await open(exampleReport);
    expect(await page.$('.plan .change')).toBeNull();
    // What is printed is the page as it is when the event returns.
    const plans = await page.evaluate(
      `dispatchEvent(new Event('beforeprint')); document.querySelectorAll('.plan[open] .change').length`,
    );
    expect(plans).toBe(1);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
    expect(await page.$$('.plan .change')).toHaveLength(1);
  });

  it.each([
    ['plans', { hosts: [], use: [], runs: [] }, ['Plans']],
    ['runs', { hosts: [], use: [], plans: [] }, ['Runs']],
    ['use', { hosts: [], plans: [], runs: [] }, ['Use']],
    ['nothing', { hosts: [], use: [], plans: [], runs: [] }, []],
  ] as const)('of %s alone has no empty parts', async (_, over, titles) => {
    const report: Report = { ...exampleReport, ...over };
    trouble = [];
    const file = join(dir, 'report.html');
    writeFileSync(file, htmlReport(report, assets));
    page = await browser.newPage();
    page.on('pageerror', (error) => trouble.push(`error: ${error}`));
    await page.goto(`file://${file}`);
    await page.waitForSelector('main');
    expect(await texts('h2')).toEqual(titles);
    expect(await page.title()).toBe('Task limits');
  });
});
