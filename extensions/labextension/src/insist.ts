/** Requests that are made again while the server is away. */

import { RequestError } from './request';

/** Milliseconds between attempts, at first and at most. */
const RETRY = 500;
const RETRY_MOST = 5_000;

/**
 * Ask until there is an answer; null when `over` came first.
 *
 * @param trouble is told of each failure after which another attempt comes.
 * @throws RequestError when the server refused.
 */
export async function insist<T>(
  ask: () => Promise<T>,
  over: AbortSignal,
  trouble: (failure: RequestError) => void
): Promise<T | null> {
  const isOver = (): boolean => over.aborted;
  for (let wait = RETRY; !isOver(); wait = Math.min(2 * wait, RETRY_MOST)) {
    try {
      const answer = await ask();
      return isOver() ? null : answer;
    } catch (error) {
      if (isOver()) {
        return null;
      }
      const failure =
        error instanceof RequestError ? error : new RequestError(String(error), 'unreadable', 0);
      if (!failure.isOffline && failure.status < 500) {
        throw failure;
      }
      trouble(failure);
    }
    await pause(wait, over);
  }
  return null;
}

function pause(wait: number, over: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = (): void => {
      clearTimeout(timer);
      over.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, wait);
    over.addEventListener('abort', end);
  });
}
