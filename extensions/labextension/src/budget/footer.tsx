/** The meter at the foot of the panel: what is left, and on request what that means. */

import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';
import { useId, useState } from 'react';

import { useWatched } from '../react';
import type { IAgentsModel } from '../tokens';
import type { BudgetLeft } from '../types';
import type { ILimit } from './left';
import { leftWords, levelOf, limitsOf, money, shareLeft, spentBy, whose } from './left';

export class BudgetFooter extends ReactWidget {
  constructor(
    private readonly model: IAgentsModel,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = 'jp-agents-budget';
    this.addClass('jp-AgentsBudget');
  }

  protected override render(): ReactElement {
    return <Footer model={this.model} trans={this.trans} />;
  }
}

function Footer({ model, trans }: { model: IAgentsModel; trans: TranslationBundle }): ReactElement | null {
  const budget = useWatched(model.budget);
  const [open, setOpen] = useState(false);
  const body = useId();
  if (!budget) {
    const error = model.budget.error;
    return error && !error.isOffline ? <p className="jp-Agents-note">{error.message}</p> : null;
  }
  if (!budget.counted) {
    return null;
  }
  const limits = limitsOf(budget);
  const [first] = limits;
  const spent = money(spentBy(budget, 'day') ?? 0);
  return (
    <section aria-label={trans.__('Budget')}>
      <button
        className="jp-AgentsBudget-head"
        aria-expanded={open}
        aria-controls={body}
        title={trans.__('What this means')}
        onClick={() => {
          setOpen(!open);
        }}
      >
        <span>{first ? leftWords(first, trans) : trans.__('%1 spent today, no limit', spent)}</span>
        <span aria-hidden="true" className="jp-AgentsBudget-more">
          {open ? '▾' : '▸'}
        </span>
      </button>
      {first && <Meter limit={first} trans={trans} />}
      <div id={body} hidden={!open} className="jp-AgentsBudget-body">
        {open && <Explained budget={budget} limits={limits} trans={trans} />}
      </div>
    </section>
  );
}

function Meter({ limit, trans }: { limit: ILimit; trans: TranslationBundle }): ReactElement {
  return (
    <div
      className="jp-AgentsBudget-meter"
      role="meter"
      aria-label={whose(limit, trans)}
      aria-valuemin={0}
      aria-valuemax={limit.limit}
      aria-valuenow={Math.min(limit.left, limit.limit)}
      aria-valuetext={leftWords(limit, trans)}
      data-level={levelOf(limit)}
    >
      <div style={{ width: `${String(shareLeft(limit) * 100)}%` }} />
    </div>
  );
}

function Explained(props: {
  budget: BudgetLeft;
  limits: readonly ILimit[];
  trans: TranslationBundle;
}): ReactElement {
  const { budget, limits, trans } = props;
  return (
    <>
      <ul>
        {limits.map(limit => (
          <li key={`${limit.kind} ${limit.name} ${limit.period}`}>
            <strong>{whose(limit, trans)}</strong>
            <Meter limit={limit} trans={trans} />
            <span>
              {trans.__('%1 of %2 is spent.', money(limit.spent), money(limit.limit))}{' '}
              {trans.__('It starts anew at %1.', Time.format(limit.endsAt))}{' '}
              {limit.isDefault
                ? trans.__('It is what the site gives everybody.')
                : trans.__('An administrator has set it.')}
            </span>
          </li>
        ))}
      </ul>
      {limits.length ? (
        <p>
          {trans.__(
            'Each call to the model counts against all of these. When one is used up, or has too little left for a call, that call is refused and the run ends saying so. Nothing is lost: it can be resumed when there is room again.'
          )}
        </p>
      ) : (
        <p>{trans.__('Nobody has set a budget for you. What your runs cost is on record all the same.')}</p>
      )}
      {budget.contact && <p>{trans.__('Whom to ask: %1', budget.contact)}</p>}
    </>
  );
}
