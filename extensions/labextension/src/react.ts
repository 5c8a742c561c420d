/** How React components see the model. */

import { useSyncExternalStore } from 'react';

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
