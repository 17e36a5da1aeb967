import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const CODE = /^[a-z]+(?:-[a-z]+)*$/;

/**
 * The texts a source file gives for a diagnostic's code: as the member `code`, as a variable of that name, or for a
 * parameter of that name of a function in the same file.
 */
function codesIn(text: string): string[] {
  const source = ts.createSourceFile('x.ts', text, ts.ScriptTarget.ES2023, true);
  const parameters = new Map<string, number>();
  const codes: string[] = [];
  const take = (node: ts.Node | undefined): void => {
    if (node === undefined) return;
    if (ts.isStringLiteral(node) && CODE.test(node.text)) codes.push(node.text);
    else if (ts.isConditionalExpression(node))
      for (const branch of [node.whenTrue, node.whenFalse]) take(branch);
    else if (ts.isAsExpression(node)) take(node.expression);
    else if (ts.isArrayLiteralExpression(node)) node.elements.forEach(take);
  };
  const each = (visit: (node: ts.Node) => void): void => {
    const walk = (node: ts.Node): void => {
      visit(node);
      ts.forEachChild(node, walk);
    };
    walk(source);
  };
  each((node) => {
    if (!ts.isFunctionDeclaration(node) || node.name === undefined) return;
    const at = node.parameters.findIndex(({ name }) => name.getText() === 'code');
    if (at >= 0) parameters.set(node.name.text, at);
  });
  each((node) => {
    if (ts.isPropertyAssignment(node) && node.name.getText() === 'code') take(node.initializer);
    if (ts.isVariableDeclaration(node) && node.name.getText() === 'code') take(node.initializer);
    if (ts.isForOfStatement(node) && /\bcode\b/.test(node.initializer.getText())) take(node.expression);
    if (ts.isCallExpression(node)) {
      const at = parameters.get(node.expression.getText());
      if (at !== undefined) take(node.arguments[at]);
    }
  });
  return codes;
}

const rooms = ['systemd', 'snapshot', 'plan'];
const sources = rooms.flatMap((room) =>
  readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(root, 'src', room, name), 'utf8')),
);

it('docs/diagnostics.md explains every code there is, and no other', () => {
  const used = new Set(sources.flatMap(codesIn));
  const page = readFileSync(join(root, 'docs/diagnostics.md'), 'utf8');
  const explained = [...page.matchAll(/^\| `([a-z-]+)` \| /gm)].map((match) => match[1] ?? '');
  expect(explained.toSorted()).toEqual([...used].sort());
});

it('finds codes wherever they are given', () => {
  const text = `
    const a = { code: 'one', severity: 'note' };
    const code = x ? 'two' : 'three';
    for (const code of ['four', 'five'] as const) f(code);
    function warn(text: string, code: string) {}
    warn('not-this', 'six');
    const b = { kind: 'not-this-either', code: EXIT.done };
  `;
  expect(codesIn(text).sort()).toEqual(['five', 'four', 'one', 'six', 'three', 'two']);
});
