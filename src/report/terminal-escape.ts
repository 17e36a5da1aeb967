/**
 * The gate between what a host said and an operator's terminal. Unit names, paths, host names and log lines are data
 * of an untrusted machine: an escape sequence in one could retitle the window, move the cursor over other output, or
 * hide text by writing it backwards.
 */

declare const brand: unique symbol;

/**
 * Text that is safe to send to a terminal: no control, format or invisible character in it except the line breaks
 * and colours this program put there. Only `escapeText`, `safe` and what is built on them make one, so raw text of a
 * host does not type-check where output is made.
 */
export type SafeText = string & { readonly [brand]: true };

const PLAIN = /^[\x20-\x7e]*$/;

/**
 * Controls (C0, DEL, C1), format characters (bidirectional overrides, zero-width ones, tags), line and paragraph
 * separators, lone surrogates, and whatever else Unicode says is not to be seen.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Text of a host, with everything that is not a visible character shown as an escape: `\n`, `\x1b`, `\u202e`,
 * `\u{e0001}`. A backslash stays as it is, since unit names are full of them (`dev-disk-by\x2duuid`): what is shown
 * is safe, not reversible. The exact text is in `--json`.
 */
export function escapeText(raw: string): SafeText {
  return (PLAIN.test(raw) ? raw : raw.replace(UNSAFE, escapeCharacter)) as SafeText;
}

function escapeCharacter(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`;
}

/** Template tag: our own words around parts that are safe already. Raw strings do not type-check as parts. */
export function safe(
  strings: TemplateStringsArray,
  ...parts: readonly (SafeText | number | bigint)[]
): SafeText {
  let text = strings[0] ?? '';
  for (let i = 0; i < parts.length; i++) text += String(parts[i]) + (strings[i + 1] ?? '');
  return text as SafeText;
}

/** Safe pieces with a separator between. */
export function join(pieces: Iterable<SafeText>, separator: SafeText): SafeText {
  return [...pieces].join(separator) as SafeText;
}

/**
 * JSON text that is harmless on a terminal too: what `JSON.stringify` leaves raw in strings (DEL, C1, bidirectional
 * overrides) is written as `\uXXXX`, which any reader takes for the same text.
 */
export function escapeJson(json: string): SafeText {
  return json.replace(UNSAFE, (character) => {
    // Between values; in a string it is escaped already.
    if (character === '\n') return character;
    let escaped = '';
    for (let i = 0; i < character.length; i++) {
      escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
    }
    return escaped;
  }) as SafeText;
}
