/**
 * A controller that can be killed: a process of its own that applies the plan on its standard input, with the script
 * held on the host as a step begins.
 */
import { readFileSync } from 'node:fs';
import type { Plan } from '../../src/plan/plan.ts';
import type { LabHost } from '../lab/lab.ts';
import { Operator } from './apply-lab.ts';
import { atStep, changing, HOLD } from './fault-rig.ts';

export interface Task {
  readonly host: Pick<LabHost, 'name' | 'ssh'>;
  readonly dir: string;
  readonly plan: Plan;
  readonly step: string;
  readonly deadManSeconds: number;
}

const task: Task = JSON.parse(readFileSync(0, 'utf8'));
const operator = new Operator(task.host as LabHost, task.dir);
const connect = changing(operator.connect, (script) => atStep(script, task.step, HOLD));
const result = await operator.apply(task.plan, { connect, deadManSeconds: task.deadManSeconds });
throw new Error(`it should have been killed: ${result.kind}`);
