import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fleetSchema } from '../../src/fleet/fleet-file.ts';
import { profileSchema } from '../../src/measure/profile.ts';
import { planSchema } from '../../src/plan/plan.ts';
import { policySchema } from '../../src/plan/policy.ts';
import { applySchema, rollbackSchema, runsSchema, verifySchema } from '../../src/report/apply-json.ts';
import { backtestSchema } from '../../src/report/backtest-json.ts';
import { diagnosisSchema } from '../../src/report/diagnose-json.ts';
import { lintSchema } from '../../src/report/lint-json.ts';
import { recommendSchema } from '../../src/report/recommend-json.ts';
import { fleetPlanSchema, rolloutSchema } from '../../src/report/rollout-json.ts';
import { statusSchema } from '../../src/report/status-json.ts';
import { traceSchema } from '../../src/report/trace-json.ts';
import { snapshotSchema } from '../../src/snapshot/snapshot.ts';

/** Documents other programs read. `npm run schemas` writes the files. */
const PUBLISHED = {
  policy: policySchema,
  fleet: fleetSchema,
  snapshot: snapshotSchema,
  status: statusSchema,
  diagnosis: diagnosisSchema,
  trace: traceSchema,
  profile: profileSchema,
  recommend: recommendSchema,
  backtest: backtestSchema,
  plan: planSchema,
  lint: lintSchema,
  apply: applySchema,
  rollback: rollbackSchema,
  runs: runsSchema,
  verify: verifySchema,
  rollout: rolloutSchema,
  'fleet-plan': fleetPlanSchema,
};

describe('docs/schema', () => {
  it.each(Object.entries(PUBLISHED))('%s.schema.json is the schema the program has', async (name, schema) => {
    const json = { title: `tasksctl ${name}`, ...z.toJSONSchema(schema, { io: 'input' }) };
    const text = `${JSON.stringify(json, null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(`../../docs/schema/${name}.schema.json`);
    // And any validator can use it.
    new Ajv2020({ strict: true, allowUnionTypes: true }).compile(json);
  });
});
