import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HostFacts, RowResult } from './experiment.ts';

/** docs/activation.json: what was seen, by host and row. */
export interface ActivationDocument {
  schema: 'tasksctl/activation/1';
  /** By systemd version and cgroup mode: "252-v1". */
  hosts: Record<
    string,
    HostFacts & {
      rows: Record<string, { trials: number; steps: RowResult; otherwise?: RowResult[] }>;
    }
  >;
}

const file = fileURLToPath(new URL('../../../docs/activation.json', import.meta.url));

export function readDocument(): ActivationDocument {
  if (!existsSync(file)) return { schema: 'tasksctl/activation/1', hosts: {} };
  return JSON.parse(readFileSync(file, 'utf8')) as ActivationDocument;
}

/** One line per step: the file is read by people too, in diffs. */
export function writeDocument({ schema, hosts }: ActivationDocument): void {
  const lines = ['{', ` "schema": ${JSON.stringify(schema)},`, ' "hosts": {'];
  const keys = Object.keys(hosts).sort((a, b) => a.localeCompare(b, 'en'));
  keys.forEach((key, hostNumber) => {
    const { rows, ...facts } = hosts[key] ?? unreachable(key);
    lines.push(`  ${JSON.stringify(key)}: {`);
    for (const [name, value] of Object.entries(facts))
      lines.push(`   ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
    lines.push('   "rows": {');
    const all = Object.entries(rows);
    all.forEach(([id, { trials, steps, otherwise = [] }], rowNumber) => {
      lines.push(`    ${JSON.stringify(id)}: { "trials": ${trials}, "steps": [`, ...stepLines(steps));
      if (otherwise.length === 0) lines.push(`    ] }${rowNumber + 1 < all.length ? ',' : ''}`);
      else {
        lines.push('    ], "otherwise": [');
        otherwise.forEach((other, number) => {
          lines.push('    [', ...stepLines(other), `    ]${number + 1 < otherwise.length ? ',' : ''}`);
        });
        lines.push(`    ] }${rowNumber + 1 < all.length ? ',' : ''}`);
      }
    });
    lines.push('   }', `  }${hostNumber + 1 < keys.length ? ',' : ''}`);
  });
  lines.push(' }', '}', '');
  writeFileSync(`${file}.new`, lines.join('\n'));
  renameSync(`${file}.new`, file);
}

function stepLines(steps: RowResult): string[] {
  return steps.map((step, number) => `     ${JSON.stringify(step)}${number + 1 < steps.length ? ',' : ''}`);
}

function unreachable(key: string): never {
  throw new Error(`no such host: ${key}`);
}
