/** 2^64-1: what `systemctl show` of 228 and its like prints for `infinity`, and what unset counters are. */
const noCount = '18446744073709551615';

/** A count as `systemctl show` prints it; undefined where it prints that there is none. */
export function countOf(text: string | undefined): string | undefined {
  if (text === 'infinity' || text === noCount) return 'infinity';
  return text !== undefined && /^[0-9]{1,20}$/.test(text) ? text : undefined;
}

/** The `KEY=value` lines of one unit or of the manager. */
export function propertiesOf(block: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const line of block.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) properties.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return properties;
}

/**
 * Splits a list as `systemctl show` prints it: separated by spaces; an item with unusual characters stands in double
 * quotes with backslashes as in C (seen on 247 to 262; shell_maybe_quote and cescape_char in systemd's
 * src/basic/escape.c).
 */
export function splitList(list: string): string[] {
  return [...list.matchAll(/"((?:[^"\\]|\\.)*)"|[^ ]+/gs)].map(([whole, quoted]) =>
    quoted === undefined ? whole : quoted.replace(/\\([0-7]{3}|.)/gs, (_, code: string) => unescaped(code)),
  );
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unescaped(code: string): string {
  return code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code);
}
