/** What started a run, as a word. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { Run } from '../types';

export const TRIGGERS: readonly Run['trigger'][] = [
  'browser',
  'notebook',
  'cli',
  'api',
  'conversation',
  'schedule'
];

export function triggerWord(trigger: Run['trigger'], trans: TranslationBundle): string {
  switch (trigger) {
    case 'browser':
      return trans.__('from JupyterLab');
    case 'notebook':
      return trans.__('from a notebook');
    case 'cli':
      return trans.__('from the terminal');
    case 'api':
      return trans.__('by a program');
    case 'conversation':
      return trans.__('in a conversation');
    case 'schedule':
      return trans.__('by schedule');
  }
}
