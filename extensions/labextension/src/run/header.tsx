/** Above a run: what was asked, of whom, how it stands, and what it has used so far. */

import type { ReactElement, ReactNode } from 'react';
import { useEffect, useState } from 'react';

import { statusWord } from '../status/words';
import type { Run } from '../types';
import { isFinal } from '../types';
import { useTools } from './parts';
import type { Thread } from './thread';

export function Header(props: { thread: Thread }): ReactElement {
  const { thread } = props;
  const { model, trans } = useTools();
  const { run, current } = thread;
  const { loaded, total } = current.progress;
  const agent = model.agents.value?.find(one => one.id === run?.agent_id);
  return (
    <header className="jp-AgentsRun-header">
      {run && (
        <>
          <h2 title={run.prompt}>{run.prompt.split('\n', 1)[0]}</h2>
          <div className="jp-AgentsRun-facts">
            <span className="jp-Agents-status" data-status={run.status} role="status">
              {statusWord(run.status, trans)}
            </span>
            <Fact label={trans.__('Agent')}>{agent?.name ?? run.agent_id}</Fact>
            <Fact label={trans.__('Time')}>
              <Elapsed run={run} />
            </Fact>
            <Fact label={trans.__('Turns')}>{Math.max(run.turns, current.story.turns)}</Fact>
            <Fact label={trans.__('Cost')}>{dollars(run.usage.cost_usd)}</Fact>
          </div>
          {run.notice && <p className="jp-AgentsRun-dim">{run.notice}</p>}
        </>
      )}
      {thread.earlier && (
        <button
          className="jp-AgentsRun-link"
          onClick={() => {
            thread.showEarlier();
          }}
        >
          {trans.__('Show what was said before')}
        </button>
      )}
      {loaded > 0 && loaded < total && current.connection !== 'failed' && total - loaded > 100 && (
        <p className="jp-AgentsRun-progress">
          <progress max={total} value={loaded} aria-label={trans.__('Loading …')} />
          <span>{trans.__('%1 of %2 events', loaded.toLocaleString(), total.toLocaleString())}</span>
        </p>
      )}
      {current.connection === 'offline' && (
        <p className="jp-Agents-offline" role="status">
          {trans.__('The connection is lost. The run goes on, and so does this page when it is back.')}
        </p>
      )}
      {current.connection === 'loading' && !run && <p role="status">{trans.__('Loading …')}</p>}
      {current.error && (
        <p className="jp-Agents-problem" role="alert">
          {current.error.message}
        </p>
      )}
    </header>
  );
}

function Fact(props: { label: string; children: ReactNode }): ReactElement {
  return (
    <span className="jp-AgentsRun-fact">
      <span className="jp-AgentsRun-dim">{props.label}</span> {props.children}
    </span>
  );
}

/** How long it has worked, by the second. */
function Elapsed(props: { run: Run }): ReactElement {
  const { run } = props;
  const [now, setNow] = useState(() => Date.now());
  const ticks = !isFinal(run.status);
  useEffect(() => {
    if (!ticks) {
      return;
    }
    const timer = setInterval(() => {
      setNow(Date.now());
    }, 1_000);
    return () => {
      clearInterval(timer);
    };
  }, [ticks]);
  const end = run.finished_at ? Date.parse(run.finished_at) : now;
  const took = run.started_at ? Math.max(0, end - Date.parse(run.started_at)) : 0;
  return <time>{duration(took)}</time>;
}

/** Milliseconds as `0:07` or `1:02:03`. */
export function duration(milliseconds: number): string {
  const all = Math.floor(milliseconds / 1_000);
  const [hours, minutes, seconds] = [Math.floor(all / 3_600), Math.floor(all / 60) % 60, all % 60];
  const two = (part: number): string => String(part).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** Two digits, or four for what is less than a cent. */
export function dollars(amount: number): string {
  return `$${amount.toFixed(amount > 0 && amount < 0.01 ? 4 : 2)}`;
}
