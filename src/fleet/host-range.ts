/** More hosts than this in one range is a mistake in it. */
const MOST_HOSTS = 65_536;

/**
 * The names a host pattern of an Ansible inventory stands for: `web[01:50]`, `db-[a:f]`, `n[0:10:2]`, several of them,
 * or a plain name. Numbers keep their leading zeros, both ends count (Ansible's `expand_hostname_range()`). A text in
 * place of the names: what is wrong.
 */
export function expandHostRange(pattern: string): readonly string[] | { readonly error: string } {
  const [, head = '', range, tail = ''] = /^([^[]*)\[([^\]]*:[^\]]*)\](.*)$/.exec(pattern) ?? [];
  if (range === undefined) return [pattern];
  const values = valuesOf(range);
  if ('error' in values) return values;
  const rest = expandHostRange(tail);
  if ('error' in rest) return rest;
  if (values.length * rest.length > MOST_HOSTS)
    return { error: `[${range}] stands for more than 65536 hosts` };
  return values.flatMap((value) => rest.map((end) => head + value + end));
}

function valuesOf(range: string): readonly string[] | { readonly error: string } {
  const [from = '', to = '', step = '1', ...more] = range.split(':');
  const every = Number(step);
  if (more.length > 0 || !/^[0-9]{1,5}$/.test(step) || every === 0) {
    return { error: `[${range}] is no range; write [01:50], [a:f] or [0:10:2]` };
  }
  const values: string[] = [];
  if (/^[0-9]{1,9}$/.test(from || '0') && /^[0-9]{1,9}$/.test(to)) {
    const first = from || '0';
    if (first.length > 1 && first.startsWith('0') && first.length !== to.length) {
      return { error: `[${range}]: both ends of a range with leading zeros must be as long` };
    }
    const width = first.startsWith('0') ? first.length : 0;
    if (Number(to) - Number(first) > MOST_HOSTS * every)
      return { error: `[${range}] stands for more than 65536 hosts` };
    for (let at = Number(first); at <= Number(to); at += every) values.push(String(at).padStart(width, '0'));
  } else if ((/^[a-z]$/.test(from) && /^[a-z]$/.test(to)) || (/^[A-Z]$/.test(from) && /^[A-Z]$/.test(to))) {
    for (let at = from.charCodeAt(0); at <= to.charCodeAt(0); at += every)
      values.push(String.fromCharCode(at));
  } else {
    return { error: `[${range}] is no range; write [01:50], [a:f] or [0:10:2]` };
  }
  return values.length === 0 ? { error: `[${range}] is empty: its end is before its beginning` } : values;
}
