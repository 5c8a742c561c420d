/** What is refused, in plain words: the service's own sentence, and whom to ask. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { RequestError } from '../request';
import type { Run } from '../types';

/** What Claude Code 2.1.329 puts before what the API said (docs/budgets.md, "What a person reads"). */
const BEFORE = /^(?:Failed to authenticate\. )?API Error: (?:Request rejected \(\d+\) · |\d+ )/;
/** Sentences by which the hub's service refuses for good: service/budgets. */
const REFUSED = /^The budget of .+ is (?:nearly )?used up|^The model .+ is not open to /;

/** What the service or Claude Code said, without the words of programs. */
export function plainWords(message: string): string {
  return message.replace(BEFORE, '').trim();
}

/** Whether the site refused the run: it is over budget, or may not use the model. */
export function isRefused(error: Run['error']): boolean {
  return error !== null && REFUSED.test(plainWords(error.message));
}

/** What to show a person of a request that failed, with whom to ask where the server does not say. */
export function failureWords(error: unknown, contact: string | null, trans: TranslationBundle): string {
  const said = plainWords(error instanceof Error ? error.message : String(error));
  const isRefusal = error instanceof RequestError && (error.status === 403 || error.status === 429);
  return isRefusal && contact && !said.includes(contact) ? trans.__('%1 Ask %2.', said, contact) : said;
}
