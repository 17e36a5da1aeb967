import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConnectMemory } from '../../../src/host/connect-memory.ts';
import type { ConnectResult } from '../../../src/host/ssh.ts';
import type { HostError, RunRequest, RunResult, Transport } from '../../../src/host/transport.ts';
import { freePort, relay, type Sshd, SshRig, sshdUnavailable } from './sshd.ts';

const unavailable = sshdUnavailable();

function request(script: string, more: Partial<RunRequest> = {}): RunRequest {
  return { script, asRoot: false, timeoutMs: 20_000, maxOutputBytes: 1_000_000, ...more };
}

function transportOf(result: ConnectResult): Transport {
  if (!result.ok) throw new Error(result.error.message);
  return result.transport;
}

function errorOf(result: ConnectResult): HostError {
  if (result.ok) {
    void result.transport.close();
    throw new Error('connected');
  }
  // One sentence or two clauses, ready for a terminal.
  expect(result.error.message).not.toMatch(/[\u0000-\u001f\u007f]/);
  return result.error;
}

function runError(result: RunResult): HostError {
  if (result.kind === 'exit') throw new Error(`exit ${result.code}`);
  return result.error;
}

async function once(result: ConnectResult, script = 'id -u'): Promise<string> {
  const transport = transportOf(result);
  const ran = await transport.run(request(script));
  await transport.close();
  if (ran.kind === 'failed') throw new Error(ran.error.message);
  return ran.stdout.toString();
}

describe.skipIf(unavailable !== null)(
  `SSH to a real sshd${unavailable === null ? '' : ` (skipped: ${unavailable})`}`,
  { timeout: 60_000 },
  () => {
    let rig: SshRig;
    let user: string;
    let server: Sshd;

    beforeAll(async () => {
      rig = new SshRig();
      user = rig.key('user');
      server = await rig.sshd({ authorized: [user] });
    }, 60_000);
    afterAll(() => rig.close());

    describe('login', () => {
      it('with a key file', async () => {
        const transport = transportOf(await rig.connect(rig.config(server, `IdentityFile ${user}`)));
        expect(transport.target).toBe('h');
        const result = await transport.run(request('echo out; echo err >&2; exit 7'));
        expect(result).toMatchObject({ kind: 'exit', code: 7, signal: null });
        expect([result.stdout.toString(), result.stderr.toString()]).toEqual(['out\n', 'err\n']);
        await transport.close();
      });

      it.each([
        'rsa',
        'ecdsa',
        'ed25519',
      ])('with a key of type %s, from a file and from an agent', async (type) => {
        const key = rig.key(`type-${type}`, { type });
        const to = await rig.sshd({ authorized: [key] });
        expect(await once(await rig.connect(rig.config(to, `IdentityFile ${key}`)))).toBe('0\n');
        const agent = await rig.agent(key);
        expect(await once(await rig.connect(rig.config(to, `IdentityAgent ${agent}`)))).toBe('0\n');
      });

      it('with an agent that holds other keys too, up to the limit of sshd', async () => {
        const others = [1, 2, 3, 4].map((n) => rig.key(`other-${n}`));
        const agent = await rig.agent(...others, user);
        expect(await once(await rig.connect(rig.config(server, `IdentityAgent ${agent}`)))).toBe('0\n');
        // One more and MaxAuthTries ends it, as it ends ssh; IdentitiesOnly with the public key picks the right one.
        const tooMany = await rig.agent(...others, rig.key('other-5'), rig.key('other-6'), user);
        const error = errorOf(await rig.connect(rig.config(server, `IdentityAgent ${tooMany}`)));
        expect(error.kind).toBe('auth-failed');
        expect(error.message).toContain('Too many authentication failures');
        const only = [`IdentityAgent ${tooMany}`, 'IdentitiesOnly yes', `IdentityFile ${user}.pub`];
        expect(await once(await rig.connect(rig.config(server, ...only)))).toBe('0\n');
      });

      it('tries the key an IdentityFile names first, and none but it with IdentitiesOnly', async () => {
        const agent = await rig.agent(rig.key('first'), rig.key('second'), user);
        const to = await rig.sshd({ authorized: [user], config: 'MaxAuthTries 1' });
        const config = rig.config(to, `IdentityAgent ${agent}`, `IdentityFile ${user}.pub`);
        expect(await once(await rig.connect(config))).toBe('0\n');
        const only = rig.config(
          server,
          `IdentityAgent ${agent}`,
          'IdentitiesOnly yes',
          `IdentityFile ${rig.key('absent')}`,
        );
        expect(errorOf(await rig.connect(only)).message).toContain('tried ');
        expect(errorOf(await rig.connect(only)).message).not.toContain('agent key');
      });

      it('does without an agent that never answers', async () => {
        const socket = join(rig.dir, 'mute-agent');
        const mute = createServer();
        await new Promise<void>((resolve) => mute.listen(socket, resolve));
        const config = rig.config(server, `IdentityAgent ${socket}`, `IdentityFile ${user}`);
        expect(await once(await rig.connect(config))).toBe('0\n');
        mute.close();
      });

      it('fails with what was tried and what was left out', async () => {
        const open = rig.key('open');
        execFileSync('chmod', ['644', open]);
        const other = rig.key('tried');
        const config = rig.config(
          server,
          `IdentityFile ${open}`,
          `IdentityFile ${other}`,
          `IdentityFile ${rig.file('no key')}`,
          `IdentityFile ${rig.dir}/nowhere`,
          `IdentityAgent ${rig.dir}/no-agent`,
        );
        const error = errorOf(await rig.connect(config));
        expect(error).toMatchObject({ kind: 'auth-failed', target: 'h' });
        expect(error.message).toMatch(
          /^h: login as root failed, the host offers publickey: tried \S*\/tried; /,
        );
        expect(error.message).toContain(`${open} can be read by others (mode 644), chmod 600 it`);
        expect(error.message).toContain('is in a format or of a type not supported');
        expect(error.message).toContain(`the agent at ${rig.dir}/no-agent did not answer`);
        expect(error.message).not.toContain('nowhere');
      });
    });

    describe('an encrypted key', () => {
      function asker(answer: string | null) {
        const prompts: string[] = [];
        const askSecret = async (prompt: string) => {
          prompts.push(prompt);
          return answer;
        };
        return { prompts, askSecret };
      }

      it.each([
        ['OpenSSH', undefined],
        ['PEM', 'PEM'],
      ])('in %s format is unlocked once a process', async (_name, format) => {
        const key = rig.key(`locked-${format}`, {
          type: 'ecdsa',
          passphrase: 'open sesame',
          ...(format ? { format } : {}),
        });
        const to = await rig.sshd({ authorized: [key] });
        const { prompts, askSecret } = asker('open sesame');
        const memory = new ConnectMemory();
        const config = rig.config(to, `IdentityFile ${key}`);
        const results = await Promise.all([1, 2].map(() => rig.connect(config, { askSecret, memory })));
        for (const result of results) expect(await once(result)).toBe('0\n');
        expect(await once(await rig.connect(config, { askSecret, memory }))).toBe('0\n');
        expect(prompts).toEqual([`passphrase for ${key}: `]);
      });

      it('is not asked for where a plain key or the agent will do, nor where the host does not take it', async () => {
        const locked = rig.key('locked', { passphrase: 'open sesame' });
        const both = await rig.sshd({ authorized: [locked, user] });
        const { prompts, askSecret } = asker('open sesame');
        const lines = [`IdentityFile ${locked}`, `IdentityFile ${user}`];
        expect(await once(await rig.connect(rig.config(both, ...lines), { askSecret }))).toBe('0\n');
        expect(await once(await rig.connect(rig.config(server, ...lines), { askSecret }))).toBe('0\n');
        const error = errorOf(await rig.connect(rig.config(server, `IdentityFile ${locked}`), { askSecret }));
        expect(error.kind).toBe('auth-failed');
        expect(prompts).toEqual([]);
      });

      it('says that a passphrase was wrong or not given, and goes on to the next key', async () => {
        const locked = rig.key('locked-too', { passphrase: 'open sesame' });
        const second = rig.key('locked-second', { passphrase: 'wrong' });
        const to = await rig.sshd({ authorized: [locked, second] });
        const wrong = asker('wrong');
        const lines = [`IdentityFile ${locked}`, `IdentityFile ${second}`];
        expect(await once(await rig.connect(rig.config(to, ...lines), wrong))).toBe('0\n');
        expect(wrong.prompts).toHaveLength(2);
        for (const askSecret of [asker(null).askSecret, undefined]) {
          const error = errorOf(await rig.connect(rig.config(to, ...lines), askSecret ? { askSecret } : {}));
          expect(error.message).toContain(`${locked} could not be unlocked`);
        }
      });
    });

    describe('the host key', () => {
      const fingerprintOf = (publicKeyFile: string) =>
        execFileSync('ssh-keygen', ['-lf', publicKeyFile], { encoding: 'utf8' }).split(' ')[1];

      function known(text: string, ...lines: string[]) {
        const file = rig.file(text);
        return {
          file,
          config: rig.config(server, `UserKnownHostsFile ${file}`, `IdentityFile ${user}`, ...lines),
        };
      }

      it('is refused where it is unknown, with its fingerprint, and nothing is written', async () => {
        const keyFile = rig.file(`${server.hostKeys[0]}\n`);
        for (const checking of ['yes', 'ask']) {
          const { file, config } = known('# none\n', `StrictHostKeyChecking ${checking}`);
          const error = errorOf(await rig.connect(config));
          expect(error.kind).toBe('host-key-unknown');
          expect(error.message).toContain(`ssh-ed25519 ${fingerprintOf(keyFile)} is in no known_hosts file`);
          expect(readFileSync(file, 'utf8')).toBe('# none\n');
        }
      });

      it('is refused where it has changed, with file and line, whatever StrictHostKeyChecking says', async () => {
        const other = rig.publicKey(rig.key('other-host'));
        for (const checking of ['yes', 'accept-new', 'no']) {
          const { file, config } = known(
            `\n[127.0.0.1]:${server.port} ${other}\n`,
            `StrictHostKeyChecking ${checking}`,
          );
          const error = errorOf(await rig.connect(config, { acceptNew: true }));
          expect(error).toMatchObject({ kind: 'host-key-changed', file, line: 2 });
          expect(error.message).toContain(`${file}:2`);
          expect(error.message).toContain(`ssh-keygen -R '[127.0.0.1]:${server.port}' -f '${file}'`);
        }
      });

      it('is refused where it is revoked, by known_hosts and by RevokedHostKeys', async () => {
        const line = `[127.0.0.1]:${server.port} ${server.hostKeys[0]}\n`;
        const { file, config } = known(`${line}@revoked * ${server.hostKeys[0]}\n`);
        expect(errorOf(await rig.connect(config))).toMatchObject({ kind: 'host-key-revoked', file, line: 2 });

        const list = rig.file(`# list\n${rig.publicKey(user)}\n${server.hostKeys[0]} web1\n`);
        const listed = known(line, `RevokedHostKeys ${list}`);
        expect(errorOf(await rig.connect(listed.config))).toMatchObject({
          kind: 'host-key-revoked',
          file: list,
          line: 3,
        });
        const other = rig.file(`${rig.publicKey(user)}\n`);
        expect(await once(await rig.connect(known(line, `RevokedHostKeys ${other}`).config))).toBe('0\n');
        const gone = known(line, `RevokedHostKeys ${rig.dir}/gone`);
        expect(errorOf(await rig.connect(gone.config)).kind).toBe('config-invalid');
        const krl = join(rig.dir, 'krl');
        execFileSync('ssh-keygen', ['-q', '-k', '-f', krl, `${user}.pub`]);
        expect(errorOf(await rig.connect(known(line, `RevokedHostKeys ${krl}`).config)).message).toContain(
          'not supported',
        );
      });

      it('is added where that was asked for, hashed or not, and is known from then on', async () => {
        for (const [hash, ...how] of [
          ['no', 'option'],
          ['yes', 'StrictHostKeyChecking accept-new'],
          ['no', 'StrictHostKeyChecking no'],
        ] as const) {
          const file = join(rig.dir, `made-${hash}-${how[0].length}`, 'known_hosts');
          const lines = how[0] === 'option' ? [] : how;
          const config = rig.config(
            server,
            `UserKnownHostsFile ${file}`,
            `HashKnownHosts ${hash}`,
            `IdentityFile ${user}`,
            ...lines,
          );
          const warnings: string[] = [];
          const options = {
            acceptNew: how[0] === 'option',
            warn: (message: string) => warnings.push(message),
          };
          expect(await once(await rig.connect(config, options))).toBe('0\n');
          expect(warnings).toEqual([expect.stringContaining(`was unknown and is now in ${file}.`)]);
          expect(statSync(file).mode & 0o777).toBe(0o600);
          const text = readFileSync(file, 'utf8');
          expect(text.includes('127.0.0.1')).toBe(hash === 'no');
          // ssh itself takes the line for this host's.
          const found = execFileSync('ssh-keygen', ['-F', `[127.0.0.1]:${server.port}`, '-f', file], {
            encoding: 'utf8',
          });
          expect(found).toContain(server.hostKeys[0]);
          const strict = rig.config(server, `UserKnownHostsFile ${file}`, `IdentityFile ${user}`);
          expect(await once(await rig.connect(strict))).toBe('0\n');
          expect(readFileSync(file, 'utf8')).toBe(text);
        }
      });

      it('is added on a line of its own after a file without a last newline; a file that is none is left alone', async () => {
        const other = `other ${rig.publicKey(user)}`;
        const { file, config } = known(other, 'StrictHostKeyChecking accept-new');
        expect(await once(await rig.connect(config))).toBe('0\n');
        expect(readFileSync(file, 'utf8')).toBe(
          `${other}\n[127.0.0.1]:${server.port} ${server.hostKeys[0]}\n`,
        );
        const nowhere = rig.config(
          server,
          'UserKnownHostsFile /dev/null',
          'StrictHostKeyChecking no',
          `IdentityFile ${user}`,
        );
        expect(await once(await rig.connect(nowhere))).toBe('0\n');
      });

      it('is added once by connections made at the same time, and only the first of two different ones', async () => {
        const other = await rig.sshd({ authorized: [user] });
        const file = rig.file('');
        const memory = new ConnectMemory();
        const lines = [`UserKnownHostsFile ${file}`, 'HostKeyAlias new', `IdentityFile ${user}`];
        const options = { acceptNew: true, memory };
        const same = await Promise.all(
          [1, 2, 3].map(() => rig.connect(rig.config(server, ...lines), options)),
        );
        for (const result of same) expect(await once(result)).toBe('0\n');
        expect(readFileSync(file, 'utf8')).toBe(`new ${server.hostKeys[0]}\n`);
        writeFileSync(file, '');
        const different = await Promise.all(
          [server, other].map((to) => rig.connect(rig.config(to, ...lines), options)),
        );
        expect(different.filter((result) => result.ok)).toHaveLength(1);
        for (const result of different) {
          if (result.ok) await result.transport.close();
          else expect(result.error).toMatchObject({ kind: 'host-key-changed', file, line: 1 });
        }
      });

      it('is found under hashed names, wildcards, an alias and the global file', async () => {
        const key = server.hostKeys[0];
        const hashed = rig.file(`[127.0.0.1]:${server.port} ${key}\n`);
        execFileSync('ssh-keygen', ['-q', '-H', '-f', hashed]);
        const file = (text: string) => rig.file(text);
        for (const lines of [
          [`UserKnownHostsFile ${hashed}`],
          [`UserKnownHostsFile ${file(`[127.0.0.*]:* ${key}\n`)}`],
          [`UserKnownHostsFile ${file(`127.0.0.1 ${key}\n`)}`],
          [`UserKnownHostsFile ${file(`cluster ${key}\n`)}`, 'HostKeyAlias cluster'],
          ['UserKnownHostsFile none', `GlobalKnownHostsFile ${file(`[127.0.0.1]:${server.port} ${key}\n`)}`],
          [`UserKnownHostsFile ${rig.dir}/none ${file(`[127.0.0.1]:${server.port} ${key}\n`)}`],
        ]) {
          const config = rig.config(server, ...lines, `IdentityFile ${user}`);
          expect(await once(await rig.connect(config)), lines.join()).toBe('0\n');
        }
      });

      it('of the type on file is the one that is asked for', async () => {
        const hostKeys = [
          rig.key('h-ed'),
          rig.key('h-rsa', { type: 'rsa' }),
          rig.key('h-ec', { type: 'ecdsa' }),
        ];
        const to = await rig.sshd({ authorized: [user], hostKeys });
        for (const key of to.hostKeys) {
          const file = rig.file(`[127.0.0.1]:${to.port} ${key}\n`);
          const config = rig.config(to, `UserKnownHostsFile ${file}`, `IdentityFile ${user}`);
          expect(await once(await rig.connect(config)), key.split(' ')[0]).toBe('0\n');
        }
        // A host that has dropped the key on file is no new host, also where new hosts are welcome.
        const gone = rig.file(`[127.0.0.1]:${server.port} ${to.hostKeys[1]}\n`);
        const config = rig.config(server, `UserKnownHostsFile ${gone}`, `IdentityFile ${user}`);
        expect(errorOf(await rig.connect(config, { acceptNew: true }))).toMatchObject({
          kind: 'host-key-changed',
          line: 1,
        });
      });

      it('named by a certificate authority line is not taken on its word', async () => {
        const { file, config } = known(`@cert-authority * ${server.hostKeys[0]}\n`);
        const error = errorOf(await rig.connect(config));
        expect(error).toMatchObject({ kind: 'host-key-unknown', file, line: 1 });
        expect(error.message).toContain('certificate authority');
      });

      it('is not asked about again when keys are exchanged anew', async () => {
        const to = await rig.sshd({ authorized: [user], config: 'RekeyLimit 100K' });
        const file = rig.file('');
        const config = rig.config(to, `UserKnownHostsFile ${file}`, `IdentityFile ${user}`);
        const transport = transportOf(await rig.connect(config, { acceptNew: true }));
        const result = await transport.run(request('head -c 900000 /dev/zero'));
        expect(result).toMatchObject({ kind: 'exit', code: 0 });
        expect(result.stdout).toHaveLength(900_000);
        expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(1);
        await transport.close();
      });

      it('is proven, and the other keys of the host are not', async () => {
        const to = await rig.sshd({ authorized: [user], config: 'LogLevel DEBUG3' });
        const config = rig.config(to, `IdentityFile ${user}`);
        expect(await once(await rig.connect(config))).toBe('0\n');
        expect(to.log()).toContain('notify_hostkeys: sent');
        expect(to.log()).not.toContain('hostkeys-prove');
      });

      it('is looked for past bad lines, which are named once', async () => {
        const { file, config } = known(
          `@what x ssh-ed25519 AAAA\n[127.0.0.1]:${server.port} ${server.hostKeys[0]}\n`,
        );
        const warnings: string[] = [];
        const options = { memory: new ConnectMemory(), warn: (message: string) => warnings.push(message) };
        await once(await rig.connect(config, options));
        await once(await rig.connect(config, options));
        expect(warnings).toEqual([`${file}:1: not a known_hosts line (unknown-marker), skipped.`]);
        // A file that changes is read anew.
        writeFileSync(file, `[127.0.0.1]:${server.port} ${rig.publicKey(user)}\n`);
        expect(errorOf(await rig.connect(config, options)).kind).toBe('host-key-changed');
      });
    });

    describe('a host that cannot be reached', () => {
      const at = (lines: string) => rig.config({ port: server.port, hostKeys: [] }, lines);

      it('by name', async () => {
        const error = errorOf(await rig.connect(at('HostName no-such-host.invalid')));
        expect(error).toMatchObject({ kind: 'name-not-found', target: 'h' });
        expect(error.message).toContain('no-such-host.invalid');
      });

      it('by a closed port', async () => {
        const port = await freePort();
        const error = errorOf(await rig.connect(at(`Port ${port}`)));
        expect(error.kind).toBe('refused');
        expect(error.message).toContain(`127.0.0.1 port ${port}`);
      });

      it('by a route', async () => {
        // An address that names no host (RFC 1122 3.2.1.3).
        expect(errorOf(await rig.connect(at('HostName 255.255.255.255'))).kind).toBe('unreachable');
      });

      async function listening(listener: (server: Server) => Server, work: (port: number) => Promise<void>) {
        const silent = listener(createServer());
        await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
        const address = silent.address();
        try {
          await work(typeof address === 'object' && address !== null ? address.port : 0);
        } finally {
          silent.close();
        }
      }

      it('that accepts and hangs', async () => {
        await listening(
          (silent) => silent,
          async (port) => {
            const started = performance.now();
            const error = errorOf(await rig.connect(at(`Port ${port}`), { connectTimeoutMs: 300 }));
            expect(error.kind).toBe('connect-timeout');
            expect(error.message).toContain(
              'accepted the connection and did not answer as sshd within 0.3 s',
            );
            expect(performance.now() - started).toBeLessThan(5_000);
            expect(errorOf(await rig.connect(at(`Port ${port}\nConnectTimeout 1`))).message).toContain(
              'within 1 s',
            );
          },
        );
      });

      it('that hangs up, or is no sshd', async () => {
        await listening(
          (rude) => rude.on('connection', (socket) => socket.end()),
          async (port) => {
            expect(errorOf(await rig.connect(at(`Port ${port}`))).kind).toBe('connection-lost');
          },
        );
        await listening(
          (reset) => reset.on('connection', (socket) => socket.resetAndDestroy()),
          async (port) => {
            expect(errorOf(await rig.connect(at(`Port ${port}`))).kind).toBe('connection-lost');
          },
        );
        await listening(
          (web) => web.on('connection', (socket) => socket.write('HTTP/1.1 400 \u001b[31mBad\r\n\r\n')),
          async (port) => {
            const error = errorOf(await rig.connect(at(`Port ${port}`), { connectTimeoutMs: 500 }));
            expect(['connection-lost', 'connect-timeout']).toContain(error.kind);
          },
        );
        await listening(
          (babble) =>
            babble.on('connection', (socket) => {
              socket.on('error', () => {});
              socket.write('SSH-2.0-x\r\n');
              socket.write(Buffer.alloc(70_000, 0xff));
            }),
          async (port) => {
            expect(errorOf(await rig.connect(at(`Port ${port}`), { connectTimeoutMs: 2_000 })).kind).toBe(
              'connection-lost',
            );
          },
        );
      });

      it('before the operator stops it', async () => {
        await listening(
          (silent) => silent,
          async (port) => {
            const controller = new AbortController();
            const connecting = rig.connect(at(`Port ${port}`), { signal: controller.signal });
            setTimeout(() => controller.abort(), 100);
            expect(errorOf(await connecting).kind).toBe('aborted');
            expect(errorOf(await rig.connect(at(`Port ${port}`), { signal: controller.signal })).kind).toBe(
              'aborted',
            );
          },
        );
      });

      it('with AES by OpenSSL where no cipher is set', async () => {
        const to = await rig.sshd({ authorized: [user], config: 'LogLevel DEBUG3' });
        const cipher = async (...lines: string[]) => {
          const config = rig.config(to, `IdentityFile ${user}`, ...lines);
          expect(await once(await rig.connect(config))).toBe('0\n');
          return to
            .log()
            .match(/client->server cipher: \S+/g)
            ?.at(-1);
        };
        expect(await cipher()).toBe('client->server cipher: aes128-gcm@openssh.com');
        const set = 'Ciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com';
        expect(await cipher(set)).toBe('client->server cipher: chacha20-poly1305@openssh.com');
      });

      it('with the algorithms the configuration allows', async () => {
        const lines = (keyword: string) => rig.config(server, keyword, `IdentityFile ${user}`);
        const none = errorOf(await rig.connect(lines('KexAlgorithms sntrup761x25519-sha512@openssh.com')));
        expect(none.kind).toBe('unsupported');
        expect(none.message).toContain('KexAlgorithms');
        expect(await once(await rig.connect(lines('Ciphers aes256-ctr')))).toBe('0\n');
        const picky = await rig.sshd({
          authorized: [user],
          config: 'KexAlgorithms sntrup761x25519-sha512@openssh.com',
        });
        const error = errorOf(await rig.connect(rig.config(picky, `IdentityFile ${user}`)));
        expect(error.kind).toBe('unsupported');
        expect(error.message).toContain('share no algorithm');
      });

      it('with a configuration that is wrong', async () => {
        const config = rig.config(server, 'Prot 22');
        expect(errorOf(await rig.connect(config))).toMatchObject({
          kind: 'config-invalid',
          file: config,
          line: 2,
        });
      });
    });

    describe('a run', () => {
      let transport: Transport;
      beforeAll(async () => {
        transport = transportOf(await rig.connect(rig.config(server, `IdentityFile ${user}`)));
      });
      afterAll(() => transport.close());

      it('carries bytes of every kind both ways', async () => {
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
        const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
        const result = await transport.run(request(`printf '${octal}'`));
        expect(result.stdout.equals(bytes)).toBe(true);
      });

      it('takes a script of a megabyte and gives megabytes', async () => {
        const result = await transport.run(
          request(`${'# filler filler filler\n'.repeat(45_000)}head -c 8000000 /dev/zero; echo end >&2`, {
            maxOutputBytes: 10_000_000,
          }),
        );
        expect(result).toMatchObject({ kind: 'exit', code: 0 });
        expect(result.stdout).toHaveLength(8_000_000);
        expect(result.stderr.toString()).toBe('end\n');
      });

      it('is root without sudo where the login is', async () => {
        const result = await transport.run(request('id -u', { asRoot: true }));
        expect(result.stdout.toString()).toBe('0\n');
      });

      it('names the signal that ended it', async () => {
        expect(await transport.run(request('kill -TERM $$'))).toMatchObject({
          code: null,
          signal: 'SIGTERM',
        });
      });

      it('is ended at the limit of its output', async () => {
        const result = await transport.run(request('yes flood', { maxOutputBytes: 300_000 }));
        expect(runError(result).kind).toBe('output-limit');
        expect(result.stdout).toHaveLength(300_000);
      });

      it('is ended at its time limit with what came, and the connection serves on', async () => {
        const started = performance.now();
        const result = await transport.run(request('echo first; sleep 60', { timeoutMs: 2_000 }));
        expect(runError(result)).toMatchObject({ kind: 'timeout', target: 'h' });
        expect(result.stdout.toString()).toBe('first\n');
        expect(performance.now() - started).toBeLessThan(10_000);
        expect((await transport.run(request('echo on'))).stdout.toString()).toBe('on\n');
      });

      it('is ended by the abort signal', async () => {
        const controller = new AbortController();
        const result = await transport.run(
          request('echo begun; sleep 60', { signal: controller.signal, onStdout: () => controller.abort() }),
        );
        expect(runError(result).kind).toBe('aborted');
      });

      it('can be one of several at once', async () => {
        const results = await Promise.all(
          [1, 2, 3, 4, 5].map((n) => transport.run(request(`sleep 0.2; echo ${n}`))),
        );
        expect(results.map((result) => result.stdout.toString())).toEqual([
          '1\n',
          '2\n',
          '3\n',
          '4\n',
          '5\n',
        ]);
      });

      it('is refused by a host that allows no more sessions, or runs something else', async () => {
        const config = (to: Sshd) => rig.config(to, `IdentityFile ${user}`);
        const single = transportOf(
          await rig.connect(config(await rig.sshd({ authorized: [user], config: 'MaxSessions 1' }))),
        );
        const first = single.run(request('sleep 1; echo done'));
        await new Promise((resolve) => setTimeout(resolve, 300));
        const second = runError(await single.run(request('true')));
        expect(second.kind).toBe('unsupported');
        expect(second.message).toContain('MaxSessions');
        expect((await first).stdout.toString()).toBe('done\n');
        await single.close();

        const forced = await rig.sshd({ authorized: [user], config: 'ForceCommand echo only this' });
        const other = transportOf(await rig.connect(config(forced)));
        const error = runError(await other.run(request('true')));
        expect(error.kind).toBe('unsupported');
        expect(error.message).toContain('it said: only this');
        await other.close();
      });

      it('has none of the noise that start-up files make', async () => {
        const noisy = await rig.sshd({
          authorized: [user],
          config: 'ForceCommand echo "Welcome!"; echo "be warned" >&2; eval "$SSH_ORIGINAL_COMMAND"',
        });
        const noisyTransport = transportOf(await rig.connect(rig.config(noisy, `IdentityFile ${user}`)));
        const result = await noisyTransport.run(request('echo out; echo err >&2'));
        expect([result.stdout.toString(), result.stderr.toString()]).toEqual(['out\n', 'err\n']);
        await noisyTransport.close();
      });

      it('fails after close, and close may be called twice', async () => {
        const closed = transportOf(await rig.connect(rig.config(server, `IdentityFile ${user}`)));
        await closed.close();
        await closed.close();
        expect(runError(await closed.run(request('true'))).kind).toBe('connection-lost');
      });
    });

    describe('a connection that breaks', () => {
      it('by a reset in the middle of a run', async () => {
        const between = await relay(server.port);
        const config = rig.config(
          server,
          `Port ${between.port}`,
          `HostKeyAlias x`,
          `UserKnownHostsFile ${rig.file(`x ${server.hostKeys[0]}\n`)}`,
          `IdentityFile ${user}`,
        );
        const transport = transportOf(await rig.connect(config));
        const result = await transport.run(
          request('echo begun; sleep 30', { onStdout: () => between.cut() }),
        );
        const error = runError(result);
        expect(error.kind).toBe('connection-lost');
        expect(error.message).toContain('what was running there may have gone on');
        expect(result.stdout.toString()).toBe('begun\n');
        expect(runError(await transport.run(request('true'))).kind).toBe('connection-lost');
        await transport.close();
        between.close();
      });

      it('by falling silent in the middle of a run', async () => {
        const between = await relay(server.port);
        const config = rig.config(
          server,
          `Port ${between.port}`,
          'HostKeyAlias x',
          `UserKnownHostsFile ${rig.file(`x ${server.hostKeys[0]}\n`)}`,
          'ServerAliveInterval 1',
          'ServerAliveCountMax 1',
          `IdentityFile ${user}`,
        );
        const transport = transportOf(await rig.connect(config));
        const started = performance.now();
        const error = runError(
          await transport.run(request('echo begun; sleep 30', { onStdout: () => between.swallow() })),
        );
        expect(error.kind).toBe('connection-lost');
        expect(error.message).toContain('it no longer answers');
        expect(performance.now() - started).toBeLessThan(10_000);
        // Closing a dead connection does not wait for it.
        await transport.close();
        between.close();
      });

      it('in the middle of the handshake', async () => {
        const between = await relay(server.port);
        between.swallow();
        setTimeout(() => between.cut(), 200);
        const config = rig.config(server, `Port ${between.port}`);
        expect(errorOf(await rig.connect(config)).kind).toBe('connection-lost');
        between.close();
      });
    });

    describe('jump hosts', () => {
      /** A configuration of a jump host `j` and hosts h and h2 behind it. */
      function behind(jump: Sshd, jumpLines: string[], lines: string[] = []): string {
        const known = rig.file(
          [jump, server]
            .flatMap((to) => to.hostKeys.map((key) => `[127.0.0.1]:${to.port} ${key}\n`))
            .join(''),
        );
        return rig.file(
          [
            'Host h h2',
            ...lines,
            `Port ${server.port}`,
            'ProxyJump j',
            'Host j',
            ...jumpLines,
            `Port ${jump.port}`,
            'ProxyJump none',
            'Host *',
            'HostName 127.0.0.1',
            `UserKnownHostsFile ${known}`,
            'GlobalKnownHostsFile none',
            'User root',
            'IdentityAgent none',
            `IdentityFile ${user}`,
            '',
          ].join('\n'),
        );
      }
      const accepted = (to: Sshd) => to.log().match(/Accepted publickey/g)?.length ?? 0;

      it('are logged in to once for all hosts behind them, and left when the last is closed', async () => {
        const jump = await rig.sshd({ authorized: [user] });
        const config = behind(jump, []);
        const memory = new ConnectMemory();
        const before = accepted(server);
        const transports = await Promise.all(
          ['h', 'h2', 'h'].map(async (host) =>
            transportOf(
              await rig.connect(config, { memory, target: host, destination: { kind: 'ssh', host } }),
            ),
          ),
        );
        for (const transport of transports) {
          expect((await transport.run(request('echo $SSH_CONNECTION'))).stdout.toString()).toContain(
            `${server.port}`,
          );
        }
        expect(accepted(jump)).toBe(1);
        expect(accepted(server) - before).toBe(3);
        await transports[0]?.close();
        expect((await transports[1]?.run(request('echo on')))?.stdout.toString()).toBe('on\n');
        await transports[1]?.close();
        await transports[2]?.close();
        await expect.poll(() => jump.log(), { timeout: 5_000 }).toContain('Disconnected from user root');
        // And the next one logs in anew.
        await once(await rig.connect(config, { memory }));
        expect(accepted(jump)).toBe(2);
      });

      it('serve the others where the first of those who wait for it is stopped', async () => {
        const jump = await rig.sshd({ authorized: [user] });
        const config = behind(jump, []);
        const memory = new ConnectMemory();
        const controller = new AbortController();
        const first = rig.connect(config, { memory, signal: controller.signal });
        const second = rig.connect(config, { memory });
        await new Promise((resolve) => setTimeout(resolve, 10));
        controller.abort();
        expect(errorOf(await first).kind).toBe('aborted');
        expect(await once(await second)).toBe('0\n');
      });

      it('may be several, each with its own settings and key', async () => {
        const [first, second] = [
          await rig.sshd({ authorized: [user] }),
          await rig.sshd({ authorized: [user] }),
        ];
        const known = rig.file(
          [first, second, server]
            .flatMap((to) => to.hostKeys.map((key) => `[127.0.0.1]:${to.port} ${key}\n`))
            .join(''),
        );
        const config = rig.file(
          [
            'Host h',
            `Port ${server.port}`,
            `ProxyJump j1,root@127.0.0.1:${second.port}`,
            'Host j1',
            `Port ${first.port}`,
            'Host *',
            'HostName 127.0.0.1',
            `UserKnownHostsFile ${known}`,
            'User root',
            'IdentityAgent none',
            `IdentityFile ${user}`,
          ].join('\n'),
        );
        expect(await once(await rig.connect(config))).toBe('0\n');
        expect([accepted(first), accepted(second)]).toEqual([1, 1]);
      });

      it('are named where they are at fault', async () => {
        const jump = await rig.sshd({ authorized: [user] });
        const unknown = errorOf(await rig.connect(behind(jump, ['UserKnownHostsFile /dev/null'])));
        expect(unknown).toMatchObject({ kind: 'host-key-unknown', target: 'h' });
        expect(unknown.message).toMatch(/^h: jump host j: the host key /);
        const denied = errorOf(
          await rig.connect(behind(jump, ['IdentitiesOnly yes', 'PubkeyAuthentication no'])),
        );
        expect(denied).toMatchObject({ kind: 'auth-failed', target: 'h' });
        expect(denied.message).toMatch(/^h: jump host j: login as root failed/);
      });

      it('check the key of the host behind them by its own name', async () => {
        const jump = await rig.sshd({ authorized: [user] });
        const error = errorOf(await rig.connect(behind(jump, [], ['UserKnownHostsFile /dev/null'])));
        expect(error).toMatchObject({ kind: 'host-key-unknown', target: 'h' });
        expect(error.message).toMatch(/^h: the host key /);
      });

      it('that may not or cannot forward say so', async () => {
        const closed = await rig.sshd({ authorized: [user], config: 'AllowTcpForwarding no' });
        const error = errorOf(await rig.connect(behind(closed, [])));
        expect(error.kind).toBe('unsupported');
        expect(error.message).toContain('allow TCP forwarding');
        const jump = await rig.sshd({ authorized: [user] });
        expect(errorOf(await rig.connect(behind(jump, [], [`Port ${await freePort()}`]))).kind).toBe(
          'refused',
        );
        expect(errorOf(await rig.connect(behind(jump, [], ['HostName no-such-host.invalid']))).kind).toBe(
          'name-not-found',
        );
      });

      it('that lead back to themselves are refused', async () => {
        // ssh itself sees the first; with the second it would start itself for ever.
        for (const [config, why] of [
          ['Host *\n  ProxyJump j\n', 'jumphost loop via j'],
          ['Host j\n  ProxyJump k\nHost h k\n  ProxyJump j\n', 'probably in a circle'],
        ] as const) {
          const error = errorOf(await rig.connect(rig.file(config)));
          expect(error.kind).toBe('config-invalid');
          expect(error.message).toContain(why);
        }
      });

      it('take the hosts behind them along when they are lost', async () => {
        const jump = await rig.sshd({ authorized: [user] });
        const between = await relay(jump.port);
        const known = rig.file(`x ${jump.hostKeys[0]}\n`);
        const memory = new ConnectMemory();
        const config = behind(jump, [
          `Port ${between.port}`,
          'HostKeyAlias x',
          `UserKnownHostsFile ${known}`,
        ]);
        const transport = transportOf(await rig.connect(config, { memory }));
        const result = await transport.run(
          request('echo begun; sleep 30', { onStdout: () => between.cut() }),
        );
        expect(runError(result).kind).toBe('connection-lost');
        // The next connection does not join the dead one.
        expect(await once(await rig.connect(config, { memory }))).toBe('0\n');
        await transport.close();
        between.close();
      });
    });
  },
);
