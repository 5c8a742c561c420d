/** An agent's revisions as a document: which there are, what changed in each, and back to one of them. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';
import { useEffect, useState } from 'react';

import type { IAgentsModel } from '../tokens';
import type { Agent, Comparison } from '../types';
import { Arrival, useWatched } from '../react';
import { Diff } from './diff';

export class Revisions extends ReactWidget {
  constructor(
    private readonly model: IAgentsModel,
    readonly agentId: string,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AgentsRevisions');
    this.addClass('jp-Agents-document');
    this.node.tabIndex = -1;
  }

  protected override onActivateRequest(): void {
    (this.node.querySelector<HTMLElement>('button') ?? this.node).focus();
  }

  protected override render(): ReactElement {
    return <View at={this.node} model={this.model} agentId={this.agentId} trans={this.trans} />;
  }
}

function View(props: {
  at: HTMLElement;
  model: IAgentsModel;
  agentId: string;
  trans: TranslationBundle;
}): ReactElement {
  const { model, agentId, trans } = props;
  const seen = useWatched(model.agents)?.find(agent => agent.id === agentId)?.revision ?? 0;
  const [items, setItems] = useState<readonly Agent[]>([]);
  // The list of all agents may be some seconds older.
  const newest = Math.max(seen, items[0]?.revision ?? 0);
  const [next, setNext] = useState<string | null>(null);
  const [chosen, setChosen] = useState<number | null>(null);
  const [against, setAgainst] = useState<'before' | 'newest'>('before');
  const [comparison, setComparison] = useState<Comparison | null>(null);
  const [error, setError] = useState('');
  const fail = (reason: unknown): void => {
    setError(reason instanceof Error ? reason.message : String(reason));
  };

  useEffect(() => {
    let current = true;
    model.api.revisions(agentId).then(page => {
      if (current) {
        setItems(page.items);
        setNext(page.next);
        setChosen(before => before ?? page.items[0]?.revision ?? null);
        setError('');
      }
    }, fail);
    return () => {
      current = false;
    };
  }, [model, agentId, seen]);

  useEffect(() => {
    if (chosen === null) {
      return;
    }
    let current = true;
    const asked =
      against === 'newest' && newest
        ? model.api.compare(agentId, newest, chosen)
        : model.api.compare(agentId, chosen);
    asked.then(found => {
      if (current) {
        setComparison(found);
      }
    }, fail);
    return () => {
      current = false;
    };
  }, [model, agentId, chosen, against, newest]);

  const restore = async (): Promise<void> => {
    if (chosen === null) {
      return;
    }
    try {
      const agent = await model.api.restore(agentId, chosen, newest);
      await model.agents.refresh();
      setChosen(agent.revision);
      setError('');
    } catch (reason) {
      fail(reason);
    }
  };
  const more = async (): Promise<void> => {
    const page = await model.api.revisions(agentId, next ? { before: next } : {});
    setItems([...items, ...page.items]);
    setNext(page.next);
  };
  const one = items.find(agent => agent.revision === chosen);
  return (
    <>
      {items.length > 0 && <Arrival at={props.at} to="button" />}
      <nav aria-label={trans.__('Revisions')}>
        <ul className="jp-Agents-list">
          {items.map(agent => (
            <li key={agent.revision}>
              <button
                className="jp-AgentsRevisions-item"
                aria-current={agent.revision === chosen ? 'true' : undefined}
                onClick={() => {
                  setChosen(agent.revision);
                }}
              >
                <strong>{trans.__('Revision %1', agent.revision)}</strong>
                <span>
                  {new Date(agent.updated_at).toLocaleString()}
                  {agent.revision === newest && ` · ${trans.__('newest')}`}
                </span>
              </button>
            </li>
          ))}
        </ul>
        {next && (
          <button className="jp-mod-styled jp-mod-minimal" onClick={() => void more().catch(fail)}>
            {trans.__('Older ones')}
          </button>
        )}
      </nav>
      <div className="jp-AgentsRevisions-one">
        {error && <p role="alert">{error}</p>}
        {one && (
          <header>
            <h2>
              {one.name}, {trans.__('revision %1', one.revision)}
            </h2>
            <select
              className="jp-mod-styled"
              aria-label={trans.__('Compare')}
              value={against}
              onChange={event => {
                setAgainst(event.target.value as 'before' | 'newest');
              }}
            >
              <option value="before">{trans.__('What it changed')}</option>
              <option value="newest">{trans.__('What changed since')}</option>
            </select>
            {one.revision !== newest && (
              <button className="jp-mod-styled jp-mod-accept" onClick={() => void restore()}>
                {trans.__('Restore revision %1', one.revision)}
              </button>
            )}
          </header>
        )}
        {comparison &&
          (one?.revision === 1 && against === 'before' ? (
            <p className="jp-Agents-note">{trans.__('The agent was made with this revision.')}</p>
          ) : (
            <Diff text={comparison.diff} trans={trans} />
          ))}
      </div>
    </>
  );
}
