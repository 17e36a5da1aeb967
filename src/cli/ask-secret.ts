import { closeSync, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import type { AskSecret } from '../host/transport.ts';
import { escapeText } from '../report/terminal-escape.ts';

/**
 * Asks on the controlling terminal, whatever standard input and output are, without echo; undefined where there is
 * none, so that callers can say "nobody to ask" instead of waiting. Ctrl-C raises SIGINT, Ctrl-D declines.
 */
export function terminalAsker(): AskSecret | undefined {
  try {
    closeSync(openSync('/dev/tty', 'r+'));
  } catch {
    return undefined;
  }
  return askOnTerminal;
}

async function askOnTerminal(prompt: string): Promise<string | null> {
  const output = openSync('/dev/tty', 'w');
  const input = new ReadStream(openSync('/dev/tty', 'r'));
  try {
    input.setRawMode(true);
    // Prompts of keyboard-interactive logins are the host's words.
    writeSync(output, escapeText(prompt));
    const line = await typedLine(input);
    writeSync(output, '\n');
    // A raw terminal makes no signal of Ctrl-C; whoever listens for one is told at once.
    if (line.end === 'interrupted') process.emit('SIGINT');
    return line.end === 'entered' ? line.text : null;
  } finally {
    input.setRawMode(false);
    input.destroy();
    closeSync(output);
  }
}

/** Everything typed up to the key that ends the line; a terminal that goes away declines. */
function typedLine(input: ReadStream): Promise<SecretLine> {
  return new Promise((resolve) => {
    let line: SecretLine = { text: '', end: null };
    input.setEncoding('utf8');
    input.on('data', (keys) => {
      line = typeSecret(line, String(keys));
      if (line.end !== null) resolve(line);
    });
    const gone = () => resolve({ text: '', end: 'declined' });
    input.once('end', gone);
    input.once('error', gone);
  });
}

export interface SecretLine {
  readonly text: string;
  /** null while more is to be typed. */
  readonly end: 'entered' | 'declined' | 'interrupted' | null;
}

/** What a line comes to when these keys are typed on a raw terminal; the keys work as a cooked one's do. */
export function typeSecret(line: SecretLine, keys: string): SecretLine {
  let { text } = line;
  for (const key of keys) {
    switch (key) {
      case '\r':
      case '\n':
        return { text, end: 'entered' };
      case '\x03':
        return { text: '', end: 'interrupted' };
      case '\x04':
        // As in a cooked terminal: end of input on an empty line, else what was typed.
        return text === '' ? { text, end: 'declined' } : { text, end: 'entered' };
      case '\x7f':
      case '\b':
        text = [...text].slice(0, -1).join('');
        break;
      case '\x15':
        text = '';
        break;
      default:
        text += key;
    }
  }
  return { text, end: null };
}
