/** Where a limit's value comes from. */
export type Provenance =
  | {
      readonly kind: 'file';
      readonly file: string;
      readonly line: number;
      readonly section: string;
      readonly key: string;
      readonly raw: string;
    }
  /** `text` says whose default: "built-in default of systemd 252", "DefaultTasksMax of the manager". */
  | { readonly kind: 'default'; readonly text: string }
  /** A live value that no file read explains: set by hand, by a user manager, by a container engine. */
  | { readonly kind: 'live'; readonly text: string };

/** `file:line`, or whose default it is. */
export function describeProvenance(provenance: Provenance): string {
  return provenance.kind === 'file' ? `${provenance.file}:${provenance.line}` : provenance.text;
}

/** The place for a diagnostic about it. */
export function provenancePlace(provenance: Provenance): { file?: string; line?: number } {
  return provenance.kind === 'file' ? { file: provenance.file, line: provenance.line } : {};
}
