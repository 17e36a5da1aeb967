export type GeneratedFile = Uint8Array | string | { symlink: string };

/** Files as they come to mind: one that would be in the way of an earlier one is left out. */
export class FileSet {
  readonly files: Record<string, GeneratedFile> = {};
  readonly #directories = new Set<string>();

  put(path: string, content: GeneratedFile): void {
    const parents: string[] = [];
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
      parents.push(path.slice(0, at));
    if (path in this.files || this.#directories.has(path) || parents.some((parent) => parent in this.files))
      return;
    this.files[path] = content;
    for (const parent of parents) this.#directories.add(parent);
  }
}
