/** One block of a run, as it is drawn. */

import type { ReactElement } from 'react';
import { memo } from 'react';

import { statusWord } from '../status/words';
import type { Block } from './blocks';
import { Asked, Card } from './cards';
import { Markdown } from './markup';
import { Fold, Output, useTools } from './parts';
import { nameOf } from './tools';

/** `ended`: nothing more comes of what it is a part of. */
export const BlockView = memo(function BlockView(props: {
  block: Block;
  ended: boolean;
}): ReactElement | null {
  const { block, ended } = props;
  const { trans } = useTools();
  switch (block.kind) {
    case 'prompt':
      return (
        <section className="jp-AgentsRun-prompt" aria-label={trans.__('You')}>
          <Output id={block.key} text={block.text} label={trans.__('You')} />
        </section>
      );
    case 'text':
      return <Markdown source={block.text} />;
    case 'thinking':
      return (
        <Fold id={block.key} className="jp-AgentsRun-thinking" summary={trans.__('Thinking')}>
          {() => <Markdown source={block.text} />}
        </Fold>
      );
    case 'call':
      return <Card call={block} ended={ended} />;
    case 'asked':
      return (
        <section className="jp-AgentsRun-card" aria-label={nameOf(block.approval.tool).name}>
          <header>
            <span className="jp-AgentsRun-dot" aria-hidden="true" />
            <strong>{nameOf(block.approval.tool).name}</strong>
          </header>
          <Output
            id={block.key}
            text={JSON.stringify(block.approval.input, null, 2)}
            label={trans.__('What it was given')}
          />
          <Asked approval={block.approval} ended={ended} />
        </section>
      );
    case 'status':
      return block.error ? (
        <div className="jp-AgentsRun-error" data-status={block.status}>
          <strong>{statusWord(block.status, trans)}</strong>
          <p>{block.error.message}</p>
        </div>
      ) : (
        <p className="jp-AgentsRun-end" data-status={block.status}>
          <span>{statusWord(block.status, trans)}</span>
          <time dateTime={block.time}>{new Date(block.time).toLocaleTimeString()}</time>
        </p>
      );
    case 'notice':
      return (
        <p className="jp-AgentsRun-end">
          {block.what === 'retry'
            ? trans.__('The model did not answer; another attempt is made. %1', block.text)
            : trans.__('The conversation was long: what was said before is summed up for the model.')}
        </p>
      );
  }
});
