/** What is left of the budgets, and what is said of it. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { BudgetLeft } from '../types';

type Share = BudgetLeft['budgets'][number];

/** One amount for one time that limits the person. */
export interface ILimit {
  kind: Share['kind'];
  name: string;
  period: 'day' | 'month';
  /** Whether the site's configuration says so, and no administrator by hand. */
  isDefault: boolean;
  /** Dollars. */
  limit: number;
  spent: number;
  left: number;
  endsAt: string;
}

/** All that limit the person, the one with the least left first. */
export function limitsOf(budget: BudgetLeft): ILimit[] {
  const found = budget.budgets.flatMap(share =>
    share.periods.flatMap(period =>
      period.limit_usd === null || period.left_usd === null
        ? []
        : [
            {
              kind: share.kind,
              name: share.name,
              period: period.period,
              isDefault: share.is_default,
              limit: Number(period.limit_usd),
              spent: Number(period.spent_usd),
              left: Number(period.left_usd),
              endsAt: period.ends_at
            }
          ]
    )
  );
  return found.sort((one, other) => one.left - other.left || one.limit - other.limit);
}

/** What the person themselves spent in that time; null when it is not told. */
export function spentBy(budget: BudgetLeft, period: 'day' | 'month'): number | null {
  const own = budget.budgets.find(share => share.kind === 'person');
  const found = own?.periods.find(one => one.period === period);
  return found ? Number(found.spent_usd) : null;
}

/** How much of a limit is left, between 0 and 1. */
export function shareLeft(limit: ILimit): number {
  return limit.limit > 0 ? Math.min(Math.max(limit.left / limit.limit, 0), 1) : 0;
}

/** `low` from a fifth on. */
export function levelOf(limit: ILimit): 'fine' | 'low' | 'used up' {
  return limit.left <= 0 ? 'used up' : shareLeft(limit) < 0.2 ? 'low' : 'fine';
}

/** Dollars to the cent; what is left is never said to be more than it is, and never nothing when it is something. */
export function money(dollars: number): string {
  return dollars > 0 && dollars < 0.01 ? '<$0.01' : `$${(Math.floor(dollars * 100 + 1e-6) / 100).toFixed(2)}`;
}

export function leftWords(limit: ILimit, trans: TranslationBundle): string {
  const amount = money(limit.left);
  return limit.period === 'day' ? trans.__('%1 left today', amount) : trans.__('%1 left this month', amount);
}

export function whose(limit: ILimit, trans: TranslationBundle): string {
  switch (limit.kind) {
    case 'person':
      return limit.period === 'day' ? trans.__('You, today') : trans.__('You, this month');
    case 'group':
      return limit.period === 'day'
        ? trans.__('The group %1, today', limit.name)
        : trans.__('The group %1, this month', limit.name);
    case 'hub':
      return limit.period === 'day'
        ? trans.__('Everybody on this hub, today')
        : trans.__('Everybody on this hub, this month');
  }
}
