/** Markdown as JupyterLab draws it, sanitised. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { MimeModel } from '@jupyterlab/rendermime';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import type { ReactElement } from 'react';
import { createContext, useContext, useEffect, useLayoutEffect, useRef } from 'react';

const MARKDOWN = 'text/markdown';
/** Drawn texts that are kept, so that one scrolled back to has its height at once. */
const KEPT = 200;
/** Milliseconds between drawings of a text that is being written, at least. */
const PACE = 80;
/** Milliseconds of a frame that may go into drawing Markdown. */
const BUDGET = 6;

/** Draws Markdown and keeps what was drawn last. */
export class MarkdownPainter {
  constructor(private readonly rendermime: IRenderMimeRegistry) {}

  /** What was drawn of `source`, when it is kept. It is the caller's while it shows it. */
  kept(source: string): HTMLElement | null {
    const node = this._kept.get(source);
    return node && !node.isConnected ? node : null;
  }

  /** Draw `source` when its turn comes; null when it is not wanted any more. The newest wish is the first: it is in sight. */
  draw(source: string, keep: boolean, isWanted: () => boolean): Promise<HTMLElement | null> {
    return new Promise((resolve, reject) => {
      this._wishes.push(async () => {
        if (!isWanted()) {
          resolve(null);
          return;
        }
        await this._draw(source, keep).then(resolve, reject);
      });
      void this._work();
    });
  }

  /** Draw what is wished for, with a pause for the page whenever a good part of a frame is used up. */
  private async _work(): Promise<void> {
    if (this._working) {
      return;
    }
    this._working = true;
    let began = performance.now();
    for (let next = this._wishes.pop(); next; next = this._wishes.pop()) {
      await next();
      if (performance.now() - began > BUDGET) {
        await nextFrame();
        began = performance.now();
      }
    }
    this._working = false;
  }

  private async _draw(source: string, keep: boolean): Promise<HTMLElement> {
    const renderer = this.rendermime.createRenderer(MARKDOWN);
    // Not trusted: HTML in it is sanitised.
    await renderer.renderModel(new MimeModel({ data: { [MARKDOWN]: source }, trusted: false }));
    if (keep) {
      this._kept.delete(source);
      this._kept.set(source, renderer.node);
      for (const oldest of this._kept.keys()) {
        if (this._kept.size <= KEPT) {
          break;
        }
        this._kept.delete(oldest);
      }
    }
    // Some renderers wait until they are attached.
    MessageLoop.sendMessage(renderer, Widget.Msg.AfterAttach);
    return renderer.node;
  }

  private readonly _wishes: (() => Promise<void>)[] = [];
  private _working = false;
  private readonly _kept = new Map<string, HTMLElement>();
}

/** A page that is hidden has no frames. */
function nextFrame(): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, 100);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      // After the frame, not within it.
      setTimeout(resolve, 0);
    });
  });
}

export const Painter = createContext<MarkdownPainter | null>(null);

/** `live`: the text grows; it is drawn as often as that can be done with ease. */
export function Markdown(props: { source: string; live?: boolean }): ReactElement {
  const { source, live = false } = props;
  const painter = useContext(Painter);
  const host = useRef<HTMLDivElement>(null);
  const newest = useRef(source);
  const busy = useRef(false);

  useLayoutEffect(() => {
    newest.current = source;
    const node = host.current;
    const kept = live ? null : painter?.kept(source);
    if (node && kept) {
      node.replaceChildren(kept);
      return;
    }
    if (!node || !painter) {
      return;
    }
    if (!node.firstChild) {
      // Until it is drawn: the words, at about their height.
      const plain = document.createElement('p');
      plain.className = 'jp-AgentsRun-plain';
      plain.textContent = source;
      node.replaceChildren(plain);
    }
    if (busy.current) {
      return;
    }
    busy.current = true;
    void (async () => {
      let drawn: string | null = null;
      try {
        while (drawn !== newest.current && host.current) {
          const began = performance.now();
          drawn = newest.current;
          const picture = await painter.draw(drawn, !live, () => host.current !== null);
          if (!picture) {
            break;
          }
          // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- it may be gone since it was asked for
          host.current?.replaceChildren(picture);
          const took = performance.now() - began;
          if (live) {
            await new Promise(resolve => setTimeout(resolve, Math.max(PACE, 3 * took)));
          }
        }
      } finally {
        busy.current = false;
      }
    })();
  }, [source, live, painter]);

  useEffect(() => {
    const node = host.current;
    return () => {
      node?.replaceChildren();
    };
  }, []);

  return <div className="jp-AgentsRun-markdown" ref={host} />;
}
