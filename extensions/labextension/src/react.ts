/** How React components see the model. */

import { useEffect, useSyncExternalStore } from 'react';

import type { IAgentsModel, IWatched } from './tokens';

/** The newest value of something watched; the component is drawn again when it changes. */
export function useWatched<T>(watched: IWatched<T>): T | null {
  return useSyncExternalStore(
    notify => {
      watched.changed.connect(notify);
      return () => watched.changed.disconnect(notify);
    },
    () => watched.value
  );
}

/** Whether the server answers. */
export function useOnline(model: IAgentsModel): boolean {
  return useSyncExternalStore(
    notify => {
      model.onlineChanged.connect(notify);
      return () => model.onlineChanged.disconnect(notify);
    },
    () => model.online
  );
}

/**
 * Leads who went to a document to its first control: React may draw later than the document is activated, which has the
 * focus itself then.
 */
export function Arrival(props: { at: HTMLElement; to: string }): null {
  const { at, to } = props;
  useEffect(() => {
    if (document.activeElement === at) {
      at.querySelector<HTMLElement>(to)?.focus();
    }
  }, [at, to]);
  return null;
}
