import fc from 'fast-check';
import {
  capabilitiesOf,
  defaultUnitPath,
  type SystemdCapabilities,
} from '../../../src/systemd/capabilities.ts';
import { type FileEntry, FileTree } from '../../../src/systemd/file-tree.ts';
import type { ResolveContext } from '../../../src/systemd/resolve.ts';

/** An upstream systemd of this version, unless os-release says otherwise. */
export function capabilities(version: number, osRelease: Record<string, string> = {}): SystemdCapabilities {
  return capabilitiesOf(version, {
    osRelease,
    compatGenerator: false,
    vendorUserSliceDropIn: version >= 239,
    splitUsr: false,
  });
}

export function file(path: string, text: string | Uint8Array): FileEntry {
  const content = Buffer.from(text);
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, size: content.length, content };
}

export function link(path: string, target: string): FileEntry {
  return { path, type: 'symlink', mode: 0o777, uid: 0, gid: 0, size: target.length, target };
}

/** A host with these files: text, or where a link leads to after `->`. */
export function context(version: number, files: Record<string, string>): ResolveContext {
  const caps = capabilities(version);
  const entries = Object.entries(files).map(([path, text]) =>
    text.startsWith('->') ? link(path, text.slice(2)) : file(path, text),
  );
  return { tree: new FileTree(entries), capabilities: caps, unitPath: defaultUnitPath(caps, 'system') };
}

/** Files made of what matters to the dialect, and of anything at all. */
export const confBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc
    .array(
      fc.constantFrom(
        '[Slice]',
        '[Service]',
        '[',
        ']',
        'TasksMax',
        'Key',
        '=',
        '5',
        '\n',
        '\n',
        '\n',
        '\r',
        '\r\n',
        '\0',
        '\\',
        '\\\n',
        '#',
        ';',
        ' ',
        '\t',
        '\ufeff',
        'ü',
        '"',
      ),
      { maxLength: 30 },
    )
    .map((parts) => Buffer.from(parts.join(''))),
);
