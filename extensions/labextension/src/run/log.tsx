/** What was said and done, as a list of which only the part in sight is drawn. */

import type { ReactElement } from 'react';
import { useEffect, useMemo, useRef, useState } from 'react';
import type { VirtuosoHandle } from 'react-virtuoso';
import { Virtuoso } from 'react-virtuoso';

import { isFinal } from '../types';
import type { Block } from './blocks';
import { BlockView } from './block';
import { Markdown } from './markup';
import { Fold, useTools } from './parts';
import type { ILive } from './story';
import type { Thread } from './thread';

/** Older blocks are put before those that are here, so the first has a number that leaves room for them. */
const FAR = 1_000_000;
/** Pixels from the end that still count as the end. */
const NEAR = 48;
/** Pixels beyond the sight that are drawn too. */
const AHEAD = 200;
/** Characters of new words that a screen reader is given. */
const SPOKEN = 600;

const COMPONENTS = { Footer: () => <div className="jp-AgentsRun-foot" /> };

type Item = { readonly key: string; readonly block: Block } | { readonly key: string; readonly live: ILive };

export function Log(props: { thread: Thread }): ReactElement {
  const { thread } = props;
  const { trans } = useTools();
  const list = useRef<VirtuosoHandle>(null);
  const [atEnd, setAtEnd] = useState(true);
  const [seen, setSeen] = useState(0);
  const { blocks, live } = thread;
  const items = useItems(blocks, live);
  const first = useFirst(items);
  const ended = thread.run ? isFinal(thread.run.status) : false;
  const amount = items.length + first;

  // A text that grows makes no new item.
  const growth = live.at(-1)?.text.length ?? 0;
  useEffect(() => {
    if (atEnd) {
      list.current?.autoscrollToBottom();
    }
  }, [growth, atEnd, blocks]);

  const toEnd = (): void => {
    list.current?.scrollToIndex({ index: 'LAST', align: 'end' });
  };
  const isNew = !atEnd && amount + growth > seen;
  return (
    <div className="jp-AgentsRun-logArea">
      {items.length > 0 && (
        <Virtuoso
          ref={list}
          className="jp-AgentsRun-log"
          role="log"
          // What scrolls into sight is no news: the line below speaks.
          aria-live="off"
          aria-label={trans.__('What the agent says')}
          data={items}
          firstItemIndex={first}
          initialTopMostItemIndex={{ index: 'LAST', align: 'end' }}
          computeItemKey={(_, item) => item.key}
          itemContent={(_, item) => (
            <div className="jp-AgentsRun-item">
              {'block' in item ? (
                <BlockView block={item.block} ended={ended} />
              ) : (
                <LiveView live={item.live} />
              )}
            </div>
          )}
          followOutput={isEnd => (isEnd ? 'auto' : false)}
          atBottomThreshold={NEAR}
          atBottomStateChange={isEnd => {
            setAtEnd(isEnd);
            setSeen(amount + growth);
          }}
          totalListHeightChanged={() => {
            if (atEnd) {
              list.current?.autoscrollToBottom();
            }
          }}
          increaseViewportBy={AHEAD}
          components={COMPONENTS}
        />
      )}
      {!atEnd && (
        <button className="jp-AgentsRun-toEnd" data-new={isNew} onClick={toEnd}>
          {isNew ? trans.__('New output below') : trans.__('To the end')}
        </button>
      )}
      <Spoken blocks={blocks} />
    </div>
  );
}

/** Says what is new to a screen reader: the words of the last message, once it is whole. */
function Spoken(props: { blocks: readonly Block[] }): ReactElement {
  const last = props.blocks.findLast(block => block.kind === 'text' || block.kind === 'call');
  const [old] = useState(last?.key);
  const text =
    last && last.key !== old
      ? last.kind === 'text'
        ? last.text.slice(0, SPOKEN)
        : last.kind === 'call'
          ? last.tool
          : ''
      : '';
  return (
    <div className="jp-AgentsRun-spoken" aria-live="polite">
      {text}
    </div>
  );
}

function LiveView(props: { live: ILive }): ReactElement {
  const { live } = props;
  const { trans } = useTools();
  const text = live.cut ? `… ${live.text}` : live.text;
  switch (live.kind) {
    case 'text':
      return (
        <div className="jp-AgentsRun-live">
          <Markdown source={text} live />
        </div>
      );
    case 'thinking':
      return (
        <Fold id={live.key} className="jp-AgentsRun-thinking" summary={trans.__('Thinking …')}>
          {() => <Markdown source={text} live />}
        </Fold>
      );
    case 'tool_input':
      return <p className="jp-AgentsRun-dim">{trans.__('Writes a tool call …')}</p>;
  }
}

/** What is listed. What a subagent writes stands in its call, once it is whole. */
function useItems(blocks: readonly Block[], live: readonly ILive[]): readonly Item[] {
  const whole = useMemo(() => blocks.map(block => ({ key: block.key, block })), [blocks]);
  return useMemo(() => {
    const growing = live.filter(one => one.parent === null);
    return growing.length ? [...whole, ...growing.map(one => ({ key: one.key, live: one }))] : whole;
  }, [whole, live]);
}

/** The number of the first item: less by as many as have come before the one that was first. */
function useFirst(items: readonly Item[]): number {
  const [known, setKnown] = useState<{ items: readonly Item[]; first: number }>({ items, first: FAR });
  if (known.items === items) {
    return known.first;
  }
  let first = known.first;
  const oldest = known.items.find(item => 'block' in item);
  if (oldest && items[0]?.key !== oldest.key) {
    const at = items.findIndex(item => item.key === oldest.key);
    // A part that stood alone may have found its call: then the one after it is looked for.
    first -= at > 0 ? at : Math.max(0, items.length - known.items.length);
  }
  setKnown({ items, first });
  return first;
}
