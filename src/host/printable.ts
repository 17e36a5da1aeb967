/**
 * Text of a host made safe for a terminal and a log: every control character except newline and tab (so every escape
 * sequence's start), the C1 range and the bidirectional overrides become `?`.
 */
export function printable(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
}
