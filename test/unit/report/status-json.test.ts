import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { statusJson, statusSchema } from '../../../src/report/status-json.ts';
import { exampleLimits, exampleSnapshot, exampleUnits } from './example-host.ts';

const published: unknown = JSON.parse(
  readFileSync(new URL('../../../docs/schema/status.schema.json', import.meta.url), 'utf8'),
);
const status = statusJson(exampleSnapshot, exampleLimits, exampleUnits);

describe('statusJson', () => {
  it('is what its schema says', () => {
    expect(statusSchema.parse(status)).toEqual(status);
  });

  it('passes the published JSON Schema after a trip through text', () => {
    const validate = new Ajv2020().compile(published as object);
    expect(validate(JSON.parse(JSON.stringify(status))) || validate.errors).toBe(true);
    expect(validate({ ...status, kernel: {} })).toBe(false);
  });

  it('shows limits as strings, use as numbers, what is unknown as null', () => {
    const unit = status.units.find(({ name }) => name === 'user-1000.slice');
    expect(unit).toMatchObject({
      live: '500',
      current: 490,
      effective: { count: '500', by: { kind: 'unit', unit: 'user-1000.slice' } },
      configured: { value: '500', count: '500', provenance: { line: 2 } },
    });
    expect(unit?.configured?.assignments.map(({ outcome }) => outcome)).toEqual([
      'overridden',
      'wins',
      'ignored',
    ]);
    expect(status.units.find(({ name }) => name === 'system.slice')).toMatchObject({
      live: 'infinity',
      peak: null,
    });
  });
});
