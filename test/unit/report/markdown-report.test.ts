import { describe, expect, it } from 'vitest';
import { markdownReport } from '../../../src/report/markdown-report.ts';
import { exampleHost, exampleReport, fleet, HOSTILE, hostileReport, UNSEEN } from './a-report.ts';

/** The lines that are not in fences. */
function outsideFences(markdown: string): string[] {
  let fence: string | null = null;
  return markdown.split('\n').filter((line) => {
    const ticks = /^(`{3,})/.exec(line)?.[1] ?? null;
    if (fence === null && ticks !== null) {
      fence = ticks;
      return false;
    }
    if (fence === null) return true;
    if (line === fence) fence = null;
    return false;
  });
}

/** A line without what is escaped and without its code spans, in which nothing can be. */
function bare(line: string): string {
  return line.replace(/\\[!-/:-@[-`{-~]|(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)/g, '');
}

describe('markdownReport', () => {
  it('tells of hosts, the plan with its differences and its undoing, runs and findings', () => {
    expect(markdownReport(exampleReport)).toMatchInlineSnapshot(`
      "# Task limits: web1, web2

      Written by tasksctl 1.2.3.

      ## Hosts

      | Host | Used | Tightest unit | Left | Tasks | Rejected forks | Read |
      | --- | ---: | --- | ---: | ---: | ---: | --- |
      | web1 | 98% | \`user-1000.slice\` | 10 | 812 | 17 | 2025-06-01T03:00:00Z |
      | web2 | 2% | \`-.slice\` | 30188 | 812 | 17 | 2025-06-01T03:00:00Z |

      ## Plan for web1 by policy default

      Debian GNU/Linux 12 \\(bookworm\\), systemd 252, Linux 6.1.0-18-amd64. 1 change, 1 refused, 7 unchanged.

      ### user-.slice \\(every user\\): 33% to 16384

      - Now: 33%, \`/usr/lib/systemd/system/user-.slice.d/10-defaults.conf:16\`
      - Why: peak 9800 of alice, plus 50% headroom: 14700; rounded up to a friendly step: 16384
      - When: Enforced at once for the 1 running user slice; new logins get it from the start.
      - Reboot: not needed: a daemon-reload is enough.
      - Affects: alice, session 7 \\(sshd from 192.0.2.7\\): gets the new limit at once
      - warning: the limits below user.slice add up to more than the kernel has

      \`\`\`sh
      # systemd reads the new file and writes pids.max of the running slices
      systemctl daemon-reload
      # the running slice gets the new limit now, not at the next login
      systemctl set-property --runtime user-1000.slice TasksMax=16384
      \`\`\`

      \`\`\`diff
      --- /dev/null
      +++ b/etc/systemd/system/user-.slice.d/60-tasksctl.conf
      @@ -0,0 +1,3 @@
      +# Written by tasksctl
      +[Slice]
      +TasksMax=16384
      \`\`\`

      - Refused: ssh.service 10: under the 64 tasks that keep the operator able to log in

      To undo it: \`tasksctl rollback -t admin@web1\`, which brings back every file as it was.

      ## Runs

      - 2025-06-01T03:15:00.000Z \`admin@web1\` applied, verified \`20250601T031500Z-0a1b\`
        - by alice
        - user-.slice \\(every user\\): 500 -&gt; 16384
      - time not recorded \`admin@web2\` verify: lost \`20250601T032000Z-4e5f\`
        - user-.slice \\(every user\\) 16384: lost: 500
      "
    `);
  });

  it('says that hosts are left out of the table of a large fleet, those with the most headroom', () => {
    const markdown = markdownReport(fleet(60));
    const rows = markdown.split('\n').filter((line) => line.startsWith('| web-'));
    const used = rows.map((row) => Number(/ ([0-9]+)% /.exec(row)?.[1]));
    expect(rows).toHaveLength(50);
    expect(used).toEqual([...used].sort((a, b) => b - a));
    expect(markdown).toContain('10 hosts with more headroom are left out.');
    expect(markdown).toMatch(/^- warning: .*, 10 hosts$/m);
  });

  it('writes what is not known as a dash', () => {
    const host = { ...exampleHost, tasks: null, rows: [] };
    expect(markdownReport({ ...exampleReport, hosts: [host] })).toContain(
      '| web1 | - | - | - | - | 17 | 2025-06-01T03:00:00Z |',
    );
  });

  it('puts whatever notifies or links into code', () => {
    for (const hostname of ['@admin', 'a@b.example', 'https://evil.example', 'www.evil.example']) {
      const markdown = markdownReport({ ...exampleReport, hosts: [{ ...exampleHost, hostname }] });
      expect(markdown).toContain(`| \`${hostname}\` | 98% |`);
      expect(markdown).toContain(`# Task limits: \`${hostname}\`, web1`);
    }
  });

  it('keeps a bar in the cell it is in, also after a backslash', () => {
    const row = (name: string) => {
      const rows = [{ ...exampleHost.rows[0], name, used: 1 } as (typeof exampleHost.rows)[number]];
      return markdownReport({ ...exampleReport, hosts: [{ ...exampleHost, rows }] });
    };
    expect(row('a|b')).toContain('| `a\\x7cb` |');
    expect(row('a\\|b')).toContain('| `a\\\\x7cb` |');
    expect(row('a``b')).toContain('| ```a``b``` |');
  });

  it('keeps hostile text as text', () => {
    const markdown = markdownReport(hostileReport());
    expect(UNSEEN.exec(markdown)).toBeNull();
    const lines = outsideFences(markdown);
    expect(lines.filter((line) => line.startsWith('# '))).toHaveLength(1);
    const sections = lines.filter((line) => line.startsWith('## ')).map((line) => line.slice(0, 9));
    expect(sections).toEqual(['## Hosts', '## Plan f', '## Runs', '## Findin']);
    expect(lines.filter((line) => line.startsWith('### '))).toHaveLength(HOSTILE.length);
    for (const line of lines) {
      const rest = bare(line);
      expect(rest).not.toMatch(/[<>`[\]@]|:\/\/|www\./);
      if (line.startsWith('| ')) expect(rest.match(/\|/g)).toHaveLength(8);
      else expect(rest).not.toContain('|');
    }
  });

  it('ends a fence only where it ends', () => {
    const markdown = markdownReport(hostileReport());
    const diff = /^(`+)diff\n(.*?)\n\1$/ms.exec(markdown);
    expect(diff?.[1]?.length).toBe(5);
    expect(diff?.[2]?.split('\n')).toHaveLength(5);
  });
});
