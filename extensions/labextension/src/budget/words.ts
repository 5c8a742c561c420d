/** What is refused, in plain words: the service's own sentence, and whom to ask. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { RequestError } from '../request';
import type { Run } from '../types';

/** What Claude Code 2.1.329 puts before what the API said (docs/budgets.md, "What a person reads"). */
const BEFORE = /^(?:Failed to authenticate\. )?API Error: (?:Request rejected \(\d+\) · |\d+ )/;
/** What a run ends with that the hub's service refused for good: over budget, or a model that is not open. */
const REFUSED = /^api_error_(?:403|429)$/;

/** What the service or Claude Code said, without the words of programs. */
export function plainWords(message: string): string {
  return message.replace(BEFORE, '').trim();
}

/** What happened and whom to ask, without what is between: a toast of JupyterLab's shows 140 characters. */
export function shortWords(message: string): string {
  const said = plainWords(message);
  const [what] = said.split(/[:.] /);
  const whom = /\. (Ask .+)$/.exec(said)?.[1];
  return what !== undefined && whom !== undefined ? `${what}. ${whom}` : said;
}

/** Whether the site refused the run: it is over budget, or may not use the model. */
export function isRefused(error: Run['error']): boolean {
  return error !== null && REFUSED.test(error.code);
}

/** What to show a person of a request that failed, with whom to ask where the server does not say. */
export function failureWords(error: unknown, contact: string | null, trans: TranslationBundle): string {
  const said = plainWords(error instanceof Error ? error.message : String(error));
  const isRefusal = error instanceof RequestError && (error.status === 403 || error.status === 429);
  return isRefusal && contact && !said.includes(contact) ? trans.__('%1 Ask %2.', said, contact) : said;
}
