import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fileDiff } from '../../../src/plan/file-diff.ts';
import type { PlannedFile } from '../../../src/plan/plan.ts';

function planned(path: string, before: Buffer | string | null, after: Buffer | string | null): PlannedFile {
  const side = (content: Buffer | string | null) => {
    if (content === null) return null;
    const sha256 = createHash('sha256').update(content).digest('hex');
    const held = typeof content === 'string' ? { text: content } : { base64: content.toString('base64') };
    return { content: held, sha256, mode: 0o644, uid: 0, gid: 0 };
  };
  return { path, before: side(before), after: side(after) };
}

describe('fileDiff', () => {
  it('of a new file is against /dev/null', () => {
    expect(fileDiff(planned('/etc/a/b.conf', null, '[Slice]\nTasksMax=5\n'))).toBe(
      '--- /dev/null\n+++ b/etc/a/b.conf\n@@ -0,0 +1,2 @@\n+[Slice]\n+TasksMax=5\n',
    );
  });

  it('of a removed file is the other way round', () => {
    expect(fileDiff(planned('/etc/a.conf', 'x\n', null))).toBe(
      '--- a/etc/a.conf\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n',
    );
  });

  it('of a changed file has three lines around the change, and says where no line feed ends it', () => {
    expect(fileDiff(planned('/etc/a', '1\n2\n3\n4\n5\n6\n7\n8\n9', '1\n2\n3\n4\n5\nx\n7\n8\n9\n'))).toBe(
      '--- a/etc/a\n+++ b/etc/a\n@@ -3,7 +3,7 @@\n 3\n 4\n 5\n-6\n+x\n 7\n 8\n-9\n\\ No newline at end of file\n+9\n',
    );
  });

  it('of what stays as it is is empty', () => {
    expect(fileDiff(planned('/etc/a', 'x\n', 'x\n'))).toBe('');
  });

  it('does not show what is no text', () => {
    expect(fileDiff(planned('/etc/a', Buffer.from([0xff, 0x0a]), 'x\n'))).toBe(
      'Binary files a/etc/a and b/etc/a differ\n',
    );
  });

  it('quotes names with a backslash as git does', () => {
    expect(fileDiff(planned('/etc/x\\x2dy.mount.d/a.conf', null, 'x\n'))).toContain(
      '+++ "b/etc/x\\\\x2dy.mount.d/a.conf"\n',
    );
  });
});
