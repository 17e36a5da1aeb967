import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/**
 * The floors of the design: a room imports from rooms below its own floor (or from itself), never sideways or up.
 * Rooms on one floor do not know each other.
 */
const FLOORS: Readonly<Record<string, number>> = {
  systemd: 0,
  host: 1,
  snapshot: 2,
  diagnose: 3,
  measure: 3,
  needs: 3,
  plan: 4,
  apply: 5,
  fleet: 6,
  report: 7,
  wizard: 8,
  cli: 9,
};

/** Rooms that only compute: what they need of the world is handed to them. */
const PURE = new Set(['systemd', 'diagnose', 'needs', 'plan', 'report']);

/** Built-in modules a pure room may use. */
const PURE_BUILTINS = new Set(['node:crypto', 'node:buffer', 'node:util']);

const IMPURE_MEMBERS = new Set(['Date.now', 'Math.random', 'performance.now', 'crypto.randomUUID']);
const IMPURE_GLOBALS = new Set([
  'process',
  'fetch',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'require',
  'globalThis',
]);

const SRC = resolve(import.meta.dirname, '../../src');
/** cli/ takes the version from it. */
const PACKAGE_JSON = resolve(SRC, '../package.json');

/** Rules a source file breaks, `line: what`. `path` is relative to src/. */
function violations(path: string, text: string): string[] {
  const room = path.split('/')[0] ?? '';
  const floor = FLOORS[room];
  if (floor === undefined) return [`1: ${room}/ is no room of the design`];
  const pure = PURE.has(room);
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const found: string[] = [];
  const report = (node: ts.Node, what: string) => {
    found.push(`${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${what}`);
  };

  const checkImport = (node: ts.Node, specifier: string) => {
    if (room === 'cli' && resolve(SRC, dirname(path), specifier) === PACKAGE_JSON) return;
    if (specifier.startsWith('.')) {
      const target = relative(SRC, resolve(SRC, dirname(path), specifier)).split('/')[0] ?? '';
      const targetFloor = FLOORS[target];
      if (targetFloor === undefined) report(node, `import of ${specifier}, outside the rooms`);
      else if (target !== room && targetFloor >= floor) report(node, `import upwards, of ${target}/`);
    } else if (specifier.startsWith('node:')) {
      if (pure && !PURE_BUILTINS.has(specifier)) report(node, `import of ${specifier} in a pure room`);
    } else if (pure && specifier === 'ssh2') {
      report(node, 'import of ssh2 in a pure room');
    }
  };

  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      checkImport(node, node.moduleSpecifier.text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const argument = node.arguments[0];
      if (argument !== undefined && ts.isStringLiteral(argument)) checkImport(node, argument.text);
      else report(node, 'import of a computed name');
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) checkImport(node, node.argument.literal.text);
    } else if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      const name = `${node.expression.text}.${node.name.text}`;
      if (pure && IMPURE_MEMBERS.has(name)) report(node, `${name} in a pure room`);
      if (node.expression.text === 'console' && room !== 'cli' && room !== 'report') {
        report(node, `${name} outside cli/ and report/`);
      }
    } else if (pure && ts.isNewExpression(node) && node.expression.getText() === 'Date') {
      if ((node.arguments?.length ?? 0) === 0) report(node, 'new Date() in a pure room');
    }
    if (pure && ts.isIdentifier(node) && IMPURE_GLOBALS.has(node.text) && isReference(node)) {
      report(node, `${node.text} in a pure room`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** The identifier stands for a variable, not for a member, a key or a type. */
function isReference(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  return !(
    ts.isPropertySignature(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isTypeReferenceNode(parent)
  );
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort();

describe('floors', () => {
  it.each(files)('src/%s imports downwards only and does no forbidden I/O', (path) => {
    expect(violations(path, readFileSync(join(SRC, path), 'utf8'))).toEqual([]);
  });

  it.each([
    ['an import upwards', 'systemd/a.ts', "import { x } from '../plan/x.ts';"],
    ['a type import upwards', 'host/a.ts', "import type { X } from '../cli/x.ts';"],
    ['an import sideways', 'needs/a.ts', "export * from '../measure/x.ts';"],
    ['a dynamic import upwards', 'plan/a.ts', "await import('../report/x.ts');"],
    ['an import out of src', 'cli/a.ts', "import x from '../../test/lab/lab.ts';"],
    ['an unknown room', 'helpers/a.ts', ''],
    ['fs in a pure room', 'plan/a.ts', "import { readFileSync } from 'node:fs';"],
    ['the clock in a pure room', 'report/a.ts', 'const t = Date.now();'],
    ['a date of now in a pure room', 'report/a.ts', 'const t = new Date();'],
    ['randomness in a pure room', 'needs/a.ts', 'const r = Math.random();'],
    ['process in a pure room', 'report/a.ts', 'const e = process.env.HOME;'],
    ['timers in a pure room', 'plan/a.ts', 'setTimeout(() => {}, 1);'],
    ['console outside cli and report', 'host/a.ts', "console.log('x');"],
  ])('finds %s', (_what, path, text) => {
    expect(violations(path, text)).toHaveLength(1);
  });

  it('lets downward imports, members of such names and dates of a given time be', () => {
    const text = `
      import type { T } from '../systemd/tasks-max.ts';
      import { createHash } from 'node:crypto';
      const d = new Date(row.at); // process.exit(), Date.now()
      const p = { process: row.process, fetch: 1 };
      console.log(d);
    `;
    expect(violations('report/a.ts', text)).toEqual([]);
  });
});
