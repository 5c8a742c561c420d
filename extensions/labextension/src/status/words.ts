/** A run's status as a word. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { RunStatus } from '../types';

export function statusWord(status: RunStatus, trans: TranslationBundle): string {
  switch (status) {
    case 'queued':
      return trans.__('queued');
    case 'running':
      return trans.__('running');
    case 'waiting':
      return trans.__('waits for you');
    case 'succeeded':
      return trans.__('succeeded');
    case 'failed':
      return trans.__('failed');
    case 'cancelled':
      return trans.__('stopped');
    case 'interrupted':
      return trans.__('interrupted');
  }
}
