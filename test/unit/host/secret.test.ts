import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AskedSecret } from '../../../src/host/asked-secret.ts';
import { printable } from '../../../src/host/printable.ts';
import { Secret } from '../../../src/host/secret.ts';

describe('Secret', () => {
  it('is shown by no usual way of printing', () => {
    const secret = new Secret('correct horse');
    const shown = [
      `${secret}`,
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true, depth: 9 }),
      String(new Error(`x ${secret}`)),
      Object.keys(secret).join(),
    ].join('\n');
    expect(shown).not.toContain('correct horse');
    expect(shown).toContain('[secret]');
    expect(secret.reveal()).toBe('correct horse');
  });
});

describe('AskedSecret', () => {
  function asker(answers: (string | null)[]) {
    const prompts: string[] = [];
    const ask = async (prompt: string) => {
      prompts.push(prompt);
      return answers.shift() ?? null;
    };
    return { prompts, ask };
  }

  it('asks once and gives a proven secret to all at once', async () => {
    const { prompts, ask } = asker(['pw']);
    const asked = new AskedSecret('password for x: ', ask);
    const first = await asked.take();
    if (first.kind !== 'secret') throw new Error(first.kind);
    first.settle('accepted');
    expect(asked.proven).toBe(true);
    const [a, b] = await Promise.all([asked.take(), asked.take()]);
    expect([a.kind, b.kind]).toEqual(['secret', 'secret']);
    expect(prompts).toEqual(['password for x: ']);
  });

  it('lets one user try an unproven secret, and nobody after it was refused', async () => {
    const { prompts, ask } = asker(['wrong', 'never asked for']);
    const asked = new AskedSecret('p', ask);
    const waiting = [asked.take(), asked.take(), asked.take()];
    const first = await waiting[0];
    let others = 0;
    for (const other of waiting.slice(1)) void other.then(() => others++);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(others).toBe(0);
    if (first?.kind !== 'secret') throw new Error('no secret');
    first.settle('refused');
    expect((await Promise.all(waiting.slice(1))).map((answer) => answer.kind)).toEqual([
      'refused',
      'refused',
    ]);
    expect((await asked.take()).kind).toBe('refused');
    expect(prompts).toEqual(['p']);
  });

  it('passes an unused secret on to the next, without asking again', async () => {
    const { prompts, ask } = asker(['pw']);
    const asked = new AskedSecret('p', ask);
    const first = await asked.take();
    if (first.kind === 'secret') first.settle('unused');
    expect(asked.proven).toBe(false);
    expect((await asked.take()).kind).toBe('secret');
    expect(prompts).toEqual(['p']);
  });

  it('remembers that the operator declined, and that nobody can be asked', async () => {
    const { prompts, ask } = asker([null, 'too late']);
    const asked = new AskedSecret('p', ask);
    expect((await asked.take()).kind).toBe('none');
    expect((await asked.take()).kind).toBe('none');
    expect(prompts).toEqual(['p']);
    expect((await new AskedSecret('p', undefined).take()).kind).toBe('none');
  });
});

describe('printable', () => {
  it('takes the start of every escape sequence and every reordering character away', () => {
    expect(printable('a\u001b]0;owned\u0007b\u009b2Jc\u202ed\u0000\rz\ty\r\nx')).toBe(
      'a?]0;owned?b?2Jc?d??z\ty\nx',
    );
  });
});
