/**
 * Which parts of an ssh configuration are for a host. `ssh -G` answers for one host at a time, and starting it for each
 * of a thousand costs more than logging in to them; hosts that the same `Host` lines are for get the same answer. What
 * could make an answer depend on the host in any other way (`Match`, tokens, canonical names) has no scope.
 */
export interface SshConfigScope {
  /** Equal for hosts that the same lines are for; null: nobody can tell. */
  of(host: string): string | null;
  /** Values of HostName in lower case: a host may be called the same as one of them. */
  readonly hostNames: ReadonlySet<string>;
}

/** Names as ssh leaves them; of others it makes something first. */
const PLAIN_NAME = /^[a-z0-9_][a-z0-9._-]*$/;

/** Reads the files that ssh has read, in any order; null: answers may differ from host to host. */
export function sshConfigScope(texts: readonly string[]): SshConfigScope | null {
  const literal = new Map<string, string[]>();
  const wild: { readonly mark: string; readonly pattern: RegExp }[] = [];
  const hostNames = new Set<string>();
  let line = 0;
  for (const text of texts) {
    let inHost = false;
    for (const written of text.split('\n')) {
      const [, keyword, value] =
        /^[ \t\f\r]*([^ \t\f\r=]*)[ \t\f\r]*=?[ \t\f\r]*(.*?)[ \t\f\r]*$/.exec(written) ?? [];
      if (keyword === undefined || value === undefined || keyword === '' || keyword.startsWith('#')) continue;
      // Tokens are the host's, and quotes part words in ways of their own.
      if (value.includes('%') || /["'\\]/.test(keyword)) return null;
      switch (keyword.toLowerCase()) {
        case 'match':
        case 'canonicalizehostname':
          return null;
        case 'include':
          // Below a Host line it is for some hosts only.
          if (inHost) return null;
          break;
        case 'hostname':
          hostNames.add(value.toLowerCase());
          break;
        case 'host':
          inHost = true;
          if (/["'\\#,]/.test(value)) return null;
          for (const word of value.split(/[ \t\f]+/)) {
            const pattern = word.replace(/^!/, '');
            const mark = `${word === pattern ? '' : '!'}${line}`;
            if (/[*?]/.test(pattern)) wild.push({ mark, pattern: asRegExp(pattern) });
            else literal.set(pattern, [...(literal.get(pattern) ?? []), mark]);
          }
          line++;
          break;
      }
    }
  }
  return {
    hostNames,
    of: (host) => {
      if (!PLAIN_NAME.test(host)) return null;
      const matching = wild.filter(({ pattern }) => pattern.test(host)).map(({ mark }) => mark);
      return [...new Set([...(literal.get(host) ?? []), ...matching])].sort().join(' ');
    },
  };
}

function asRegExp(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  // Runs of stars mean no more than one, and would take long.
  return new RegExp(`^${escaped.replace(/\*+/g, '.*').replaceAll('?', '.')}$`, 's');
}
