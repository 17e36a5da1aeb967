import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkHostKey,
  fingerprint,
  type HostKeyVerdict,
  hostKeyType,
  knownHostsLine,
  knownHostsName,
  knownKeyTypes,
  linesOfHost,
  parseKnownHosts,
} from '../../../src/host/known-hosts.ts';

const keygenMissing = spawnSync('ssh-keygen', ['-?']).error !== undefined;

let dir: string;
/** Public keys as ssh-keygen writes them: `type base64`. */
const keys: Record<'ed' | 'ed2' | 'rsa' | 'ec', string> = { ed: '', ed2: '', rsa: '', ec: '' };

beforeAll(() => {
  if (keygenMissing) return;
  dir = mkdtempSync(join(tmpdir(), 'known-hosts-'));
  const make = (name: string, ...args: string[]): string => {
    execFileSync('ssh-keygen', ['-q', '-N', '', '-C', '', '-f', join(dir, name), ...args]);
    return readFileSync(join(dir, `${name}.pub`), 'utf8').trim();
  };
  keys.ed = make('ed', '-t', 'ed25519');
  keys.ed2 = make('ed2', '-t', 'ed25519');
  keys.rsa = make('rsa', '-t', 'rsa', '-b', '2048');
  keys.ec = make('ec', '-t', 'ecdsa');
});

afterAll(() => {
  if (dir !== undefined) rmSync(dir, { recursive: true });
});

function blob(publicKey: string): Buffer {
  return Buffer.from(publicKey.split(' ')[1] ?? '', 'base64');
}

function check(text: string, host: string, publicKey: string, port = 22, alias?: string): HostKeyVerdict {
  return checkHostKey(linesOfHost([parseKnownHosts('kh', text)], host, port, alias), blob(publicKey));
}

describe.skipIf(keygenMissing)('known_hosts with keys of ssh-keygen', () => {
  it('finds plain, listed, wildcard and upper-case names', () => {
    for (const names of ['web1', 'a,web1,b', 'web*', 'w?b1', 'WEB1', '*', '!web2,web*']) {
      expect(check(`${names} ${keys.ed}\n`, 'Web1', keys.ed), names).toEqual({
        kind: 'known',
        file: 'kh',
        line: 1,
      });
    }
    for (const names of ['web', 'web11', '*.web1', '!web1,*', 'web*,!*1', 'web?1', '!web2']) {
      expect(check(`${names} ${keys.ed}\n`, 'web1', keys.ed), names).toEqual({ kind: 'unknown' });
    }
  });

  it('finds names hashed by ssh-keygen -H, plain and with a port', () => {
    const file = join(dir, 'hashed');
    writeFileSync(file, `web1 ${keys.ed}\n[web1]:2222 ${keys.ed2}\n2001:db8::7 ${keys.rsa}\n`);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', file]);
    const text = readFileSync(file, 'utf8');
    expect(text).not.toContain('web1');
    expect(check(text, 'web1', keys.ed)).toMatchObject({ kind: 'known', line: 1 });
    expect(check(text, 'web1', keys.ed2, 2222)).toMatchObject({ kind: 'known', line: 2 });
    expect(check(text, '2001:db8::7', keys.rsa)).toMatchObject({ kind: 'known', line: 3 });
    expect(check(text, 'web2', keys.ed)).toEqual({ kind: 'unknown' });
    expect(check(text, 'web1', keys.ed2)).toMatchObject({ kind: 'changed', line: 1 });
  });

  it('writes hashed and plain lines ssh-keygen finds', () => {
    const file = join(dir, 'written');
    const salt = Buffer.from('0123456789abcdefghij');
    const lines = [
      knownHostsLine(knownHostsName('Web1', 2222), blob(keys.ed), salt),
      knownHostsLine(knownHostsName('web2', 22), blob(keys.rsa), null),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    expect(execFileSync('ssh-keygen', ['-F', '[web1]:2222', '-f', file], { encoding: 'utf8' })).toContain(
      lines[0],
    );
    expect(execFileSync('ssh-keygen', ['-F', 'web2', '-f', file], { encoding: 'utf8' })).toContain(lines[1]);
  });

  it('prints the fingerprint ssh-keygen -l prints', () => {
    for (const name of ['ed', 'rsa', 'ec'] as const) {
      const printed = execFileSync('ssh-keygen', ['-l', '-f', join(dir, `${name}.pub`)], {
        encoding: 'utf8',
      });
      expect(printed).toContain(fingerprint(blob(keys[name])));
    }
  });

  it('says changed with the line of the same type, or of another type', () => {
    const text = `# comment\nweb1 ${keys.rsa}\nweb1 ${keys.ed2}\nweb1 ${keys.ec}\n`;
    expect(check(text, 'web1', keys.ed)).toEqual({
      kind: 'changed',
      file: 'kh',
      line: 3,
      keyType: 'ssh-ed25519',
    });
    // As OpenSSH: a host known by another type only is no new host.
    expect(check(`web1 ${keys.rsa}\n`, 'web1', keys.ed)).toEqual({
      kind: 'changed',
      file: 'kh',
      line: 1,
      keyType: 'ssh-rsa',
    });
  });

  it('lets a revoked line beat a known one, wherever it stands', () => {
    const text = `web1 ${keys.ed}\n@revoked * ${keys.ed}\n`;
    expect(check(text, 'web1', keys.ed)).toEqual({ kind: 'revoked', file: 'kh', line: 2 });
    expect(check(`@revoked web2 ${keys.ed}\nweb1 ${keys.ed}\n`, 'web1', keys.ed)).toMatchObject({
      kind: 'known',
    });
    // Another key of a host one of whose keys is revoked is merely unknown.
    expect(check(`@revoked web1 ${keys.ed2}\n`, 'web1', keys.ed)).toEqual({ kind: 'unknown' });
  });

  it('never takes a certificate authority line for a host key', () => {
    const text = `@cert-authority *.example.org ${keys.ed}\n`;
    expect(check(text, 'web1.example.org', keys.ed)).toEqual({
      kind: 'unknown',
      certAuthority: { file: 'kh', line: 1 },
    });
    expect(check(text, 'web1.example.net', keys.ed)).toEqual({ kind: 'unknown' });
  });

  it('looks a host on another port up by [host]:port, and by its bare name only for a matching key', () => {
    const text = `web1 ${keys.ed}\n`;
    expect(check(text, 'web1', keys.ed, 2222)).toMatchObject({ kind: 'known', line: 1 });
    expect(check(text, 'web1', keys.ed2, 2222)).toEqual({ kind: 'unknown' });
    expect(check(`${text}[web1]:2222 ${keys.ed2}\n`, 'web1', keys.ed, 2222)).toMatchObject({
      kind: 'changed',
      line: 2,
    });
    expect(check(`@revoked web1 ${keys.ed}\n`, 'web1', keys.ed, 2222)).toMatchObject({ kind: 'revoked' });
    expect(check(`[web1]:2222 ${keys.ed}\n`, 'web1', keys.ed)).toEqual({ kind: 'unknown' });
  });

  it('uses HostKeyAlias instead of name and port', () => {
    expect(check(`cluster ${keys.ed}\n`, 'web1', keys.ed, 2222, 'Cluster')).toMatchObject({ kind: 'known' });
    expect(check(`web1 ${keys.ed}\n`, 'web1', keys.ed, 2222, 'cluster')).toEqual({ kind: 'unknown' });
  });

  it('reads CRLF, tabs, comments and several files, and names what it skips', () => {
    const first = parseKnownHosts(
      'first',
      [
        '',
        '  # comment',
        `\tweb1\t${keys.ed.replace(' ', '\t')}\tcomment here\r`,
        '@unknown web1 ssh-ed25519 AAAA',
        'web1 ssh-ed25519',
        'web1',
        `web1 ssh-rsa ${keys.ed.split(' ')[1]}`,
        'web1 1024 35 1234567890',
        `|1|bad|hash ${keys.ed}`,
        `|2|x|y ${keys.ed}`,
        'web1 ssh-ed25519 !!!!',
        `web1 ssh-ed25519 # ${keys.ed}`,
      ].join('\n'),
    );
    expect(first.entries).toHaveLength(1);
    expect(first.problems.map(({ line, reason }) => [line, reason])).toEqual([
      [4, 'unknown-marker'],
      [5, 'truncated'],
      [6, 'truncated'],
      [7, 'bad-key'],
      [8, 'ssh1-key'],
      [9, 'bad-hash'],
      [10, 'bad-hash'],
      [11, 'bad-key'],
      [12, 'truncated'],
    ]);
    const second = parseKnownHosts('second', `web1 ${keys.rsa}\r\n`);
    const lines = linesOfHost([first, second], 'web1', 22);
    expect(checkHostKey(lines, blob(keys.ed))).toEqual({ kind: 'known', file: 'first', line: 3 });
    expect(checkHostKey(lines, blob(keys.rsa))).toEqual({ kind: 'known', file: 'second', line: 1 });
    expect(knownKeyTypes(lines)).toEqual(['ssh-ed25519', 'ssh-rsa']);
  });

  it('agrees with ssh-keygen -F on which lines are for a host', () => {
    const label = fc.constantFrom('web', 'web1', 'web2', 'a', 'b', 'example', '10', '192.0.2.1');
    const pattern = fc
      .array(fc.oneof(label, fc.constantFrom('*', '?', '.', '**', '-')), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join(''));
    const name = fc.oneof(
      pattern,
      pattern.map((text) => `!${text}`),
      pattern.map((text) => text.toUpperCase()),
      fc.tuple(pattern, fc.constantFrom('22', '2222', '*')).map(([text, port]) => `[${text}]:${port}`),
    );
    const line = fc.record({
      names: fc.array(name, { minLength: 1, maxLength: 3 }),
      marker: fc.constantFrom('', '', '@revoked ', '@cert-authority '),
      lead: fc.constantFrom('', ' ', '\t'),
    });
    const host = fc.constantFrom(
      'web1',
      'web',
      'a.example',
      '192.0.2.1',
      'web-1',
      '[web1]:2222',
      '[a.b]:2222',
    );
    const file = join(dir, 'generated');
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), host, (lines, wanted) => {
        writeFileSync(
          file,
          lines.map(({ names, marker, lead }) => `${lead}${marker}${names.join(',')} ${keys.ed}\n`).join(''),
        );
        // "# Host web1 found: line 3"
        const found = spawnSync('ssh-keygen', ['-F', wanted, '-f', file], { encoding: 'utf8' }).stdout;
        const expected = [...found.matchAll(/found: line (\d+)/g)].map((match) => Number(match[1]));
        const [, name = wanted, port = '22'] = /^\[(.*)\]:(\d+)$/.exec(wanted) ?? [];
        const { lines: got } = linesOfHost(
          [parseKnownHosts(file, readFileSync(file, 'utf8'))],
          name,
          Number(port),
        );
        expect(got.map((entry) => entry.line)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});

describe('known_hosts of any bytes', () => {
  it('never throws and never takes long', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array).toString('latin1')),
      fc
        .array(
          fc.constantFrom(
            '@revoked',
            '|1|',
            'AAAAC3NzaC1lZDI1NTE5AAAAI',
            'ssh-ed25519',
            ' ',
            '\t',
            '\r',
            '\n',
            '*',
            '!',
            ',',
            '#',
            '|',
            '=',
          ),
          { maxLength: 40 },
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(bytes, fc.uint8Array({ maxLength: 60 }), (text, key) => {
        const known = parseKnownHosts('f', text);
        checkHostKey(linesOfHost([known], 'web1', 2222), Buffer.from(key));
        hostKeyType(Buffer.from(key));
      }),
      { numRuns: 2000 },
    );
    const entry = parseKnownHosts(
      'f',
      `${'*a'.repeat(5_000)}b ssh-x ${Buffer.from('\0\0\0\x05ssh-xk').toString('base64')}`,
    );
    expect(entry.entries).toHaveLength(1);
    const started = performance.now();
    expect(linesOfHost([entry], 'a'.repeat(255), 22).lines).toHaveLength(0);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});
