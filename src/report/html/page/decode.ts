import {
  INFINITE,
  type PageData,
  type PageFinding,
  type PageHost,
  UNIT_NUMBERS,
  UNKNOWN,
} from '../page-data.ts';

/** A number that may be unknown, or of a limit infinity. */
export type Count = number | null;

export interface Unit {
  readonly name: string;
  readonly type: string;
  readonly depth: number;
  readonly by: string | null;
  readonly leftAt: string | null;
  readonly own: string | null;
  readonly source: string | null;
  readonly assignments: readonly string[];
  readonly current: Count;
  readonly peak: Count;
  readonly limit: Count;
  readonly left: Count;
  readonly rejections: Count;
  /** 0 to 1. */
  readonly used: number | null;
}

export interface Finding {
  readonly severity: 'error' | 'warning' | 'note';
  readonly code: string;
  readonly message: string;
  readonly place: string;
  readonly help: string;
}

/** Reads the encoding of page-data.ts. */
export class Data {
  readonly page: PageData;

  constructor(page: PageData) {
    this.page = page;
  }

  text(number: number): string {
    return this.page.texts[number] ?? '';
  }

  textOrNull(number: number | undefined): string | null {
    return number === undefined || number === UNKNOWN ? null : this.text(number);
  }

  units(host: PageHost): Unit[] {
    const units: Unit[] = [];
    for (let at = 0; at < host.units.length; at += UNIT_NUMBERS) {
      const [shape = 0, current, peak, limit, left, rejections, used] = host.units.slice(
        at,
        at + UNIT_NUMBERS,
      );
      const [name = 0, type = 0, depth = 0, by, leftAt, own, source, ...assignments] =
        this.page.shapes[shape] ?? [];
      const thousandths = count(used);
      units.push({
        name: this.text(name),
        type: this.text(type),
        depth,
        by: this.textOrNull(by),
        leftAt: this.textOrNull(leftAt),
        own: this.textOrNull(own),
        source: this.textOrNull(source),
        assignments: assignments.map((text) => this.text(text)),
        current: count(current),
        peak: count(peak),
        limit: count(limit),
        left: count(left),
        rejections: count(rejections),
        used: thousandths === null ? null : thousandths / 1000,
      });
    }
    return units;
  }

  finding([severity, code, message, place, help]: PageFinding): Finding {
    return {
      severity: (['error', 'warning', 'note'] as const)[severity] ?? 'note',
      code: this.text(code),
      message: this.text(message),
      place: this.text(place),
      help: this.text(help),
    };
  }
}

export function count(number: number | undefined): Count {
  if (number === undefined || number === UNKNOWN) return null;
  return number === INFINITE ? Number.POSITIVE_INFINITY : number;
}

/** `–` for what is not known. */
export function formatCount(number: Count): string {
  if (number === null) return '–';
  return number === Number.POSITIVE_INFINITY ? 'infinity' : String(number);
}

/** As in the terminal: `0%` only for nothing, `100%` only for all. */
export function formatShare(share: number | null): string {
  if (share === null) return '–';
  const percent = Math.round(share * 100);
  if (share > 0 && percent === 0) return '<1%';
  return share < 1 && percent >= 100 ? '>99%' : `${percent}%`;
}

/** The same steps as in the terminal's tables, and one at half. */
export function levelOf(share: number | null): 'none' | 'low' | 'half' | 'near' | 'out' {
  if (share === null) return 'none';
  if (share >= 0.95) return 'out';
  if (share >= 0.8) return 'near';
  return share >= 0.5 ? 'half' : 'low';
}
