/** What the sections of the panel have in common. */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement, ReactNode } from 'react';

import { useWatched } from './react';
import type { IWatched } from './tokens';

/** A section of the panel that is drawn by React. */
export abstract class Section extends ReactWidget {
  constructor(id: string, label: string) {
    super();
    this.id = `jp-agents-${id}`;
    this.title.label = label;
    this.addClass('jp-Agents-section');
    this.node.tabIndex = -1;
  }

  protected override onActivateRequest(): void {
    const first = this.node.querySelector<HTMLElement>('button, input, [tabindex="0"]');
    (first ?? this.node).focus();
  }
}

/** Draws what is watched: a word while it is awaited, why it is missing, that there is nothing, or the items. */
export function List<T>(props: {
  watched: IWatched<readonly T[]>;
  label: string;
  empty: string;
  trans: TranslationBundle;
  children: (item: T) => ReactNode;
}): ReactElement {
  const { watched, trans } = props;
  const items = useWatched(watched);
  if (items === null) {
    return (
      <p className="jp-Agents-note" role="status">
        {watched.error ? watched.error.message : trans.__('Loading …')}
      </p>
    );
  }
  if (!items.length) {
    return <p className="jp-Agents-note">{props.empty}</p>;
  }
  return (
    <ul className="jp-Agents-list" aria-label={props.label}>
      {items.map(props.children)}
    </ul>
  );
}
