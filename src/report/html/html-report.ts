import { createHash } from 'node:crypto';
import type { Report } from '../report.ts';
import { encodePage } from './encode-page.ts';

/** The bundle of src/report/html/page/. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

/**
 * A report as one page that needs no network. Data of hosts is in a block of JSON that no browser runs, and the page's
 * script only ever makes text of it; the content security policy lets nothing run or load but the two assets.
 */
export function htmlReport(report: Report, { script, style }: PageAssets): string {
  // Neither may end the element it is in; esbuild writes <\/script> in strings.
  if (/<\/script/i.test(script) || /<\/style/i.test(style))
    throw new Error('the assets of the page end early');
  // In JSON a `<` can only be in a string.
  const data = JSON.stringify(encodePage(report)).replaceAll('<', '\\u003c');
  const policy = [
    "default-src 'none'",
    `script-src '${hash(script)}'`,
    `style-src '${hash(style)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="tasksctl">
<title>Task limits</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<noscript>This report draws itself with a script of its own; scripts are turned off.</noscript>
<script type="application/json" id="report">${data}</script>
<script>${script}</script>
</body>
</html>
`;
}

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
