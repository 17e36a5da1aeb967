/** What is known of one path of a host. Paths are absolute and normalised; symbolic links are not followed. */
export interface FileEntry {
  readonly path: string;
  readonly type: 'file' | 'symlink' | 'directory' | 'other';
  /** Permission bits, as `stat -c %a` (octal value as a number). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size in bytes; 0 tells an empty (masking) file. */
  readonly size: number;
  /** Symbolic link: its target exactly as stored. */
  readonly target?: string;
  /**
   * Regular file: its bytes. Absent where the reader left them out because nothing in the file can concern
   * task limits, or could not read them (see `problem`).
   */
  readonly content?: Uint8Array;
  /** Why `content` is missing although the file matters. */
  readonly problem?: 'too-large' | 'unreadable';
}

/** One write to a file: `content` null removes it. Mode and owner are kept where the file exists. */
export interface FileEdit {
  readonly path: string;
  readonly content: Uint8Array | null;
}
