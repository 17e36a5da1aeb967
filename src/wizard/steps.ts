import { finishingView, nameView } from './end-steps.ts';
import {
  fleetReviewView,
  fleetUnitView,
  fleetValuesView,
  fleetValueView,
  fleetView,
  oneHostView,
  planningView,
} from './fleet-steps.ts';
import {
  explainedView,
  explainView,
  reviewView,
  statusView,
  unitView,
  valuesView,
  valueView,
} from './host-steps.ts';
import {
  durationView,
  loadingView,
  measuringView,
  needsView,
  profileView,
  templateView,
} from './needs-steps.ts';
import { bakeView, maxFailView, onFailureView, rolloutView, wavesView } from './rollout-steps.ts';
import type { Setting } from './setting.ts';
import type { State, View } from './state.ts';
import {
  groupView,
  inventoryView,
  openingView,
  patternView,
  readingFleetView,
  readingView,
  reasonView,
  sshView,
  whereView,
} from './target-steps.ts';

/** What is next in a state. */
export function viewOf(state: State, setting: Setting): View {
  switch (state.at) {
    case 'reason':
      return reasonView(setting);
    case 'where':
      return whereView(state, setting);
    case 'ssh':
      return sshView(state);
    case 'inventory':
      return inventoryView(state, setting);
    case 'opening':
      return openingView(state);
    case 'group':
      return groupView(state);
    case 'pattern':
      return patternView(state);
    case 'reading':
      return readingView(state);
    case 'reading-fleet':
      return readingFleetView(state);
    case 'status':
      return statusView(state, setting);
    case 'explain':
      return explainView(state);
    case 'explained':
      return explainedView(state, setting);
    case 'fleet':
      return fleetView(state, setting);
    case 'one-host':
      return oneHostView(state);
    case 'needs':
      return needsView(state, setting);
    case 'duration':
      return durationView(state);
    case 'measuring':
      return measuringView(state, setting);
    case 'profile':
      return profileView(state, setting);
    case 'loading':
      return loadingView(state, setting);
    case 'template':
      return templateView(state, setting);
    case 'planning':
      return planningView(state);
    case 'values':
      return valuesView(state, setting);
    case 'fleet-values':
      return fleetValuesView(state, setting);
    case 'unit':
      return state.kind === 'host' ? unitView(state) : fleetUnitView(state);
    case 'value':
      return state.kind === 'host' ? valueView(state) : fleetValueView(state);
    case 'review':
      return state.kind === 'host' ? reviewView(state, setting) : fleetReviewView(state, setting);
    case 'rollout':
      return rolloutView(state, setting);
    case 'waves':
      return wavesView(state);
    case 'max-fail':
      return maxFailView(state);
    case 'bake':
      return bakeView(state);
    case 'on-failure':
      return onFailureView(state);
    case 'name':
      return nameView(state, setting);
    case 'finishing':
      return finishingView(state, setting);
    case 'end':
      return { kind: 'end', command: state.command, code: state.code };
  }
}
