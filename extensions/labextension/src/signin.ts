/**
 * Signs the page in again, unseen. A workspace under a hub that was started anew knows neither the page's token nor its
 * cookie; the hub, where the person still is signed in, gives another cookie to who opens a page, not to a request.
 */

import { PageConfig } from '@jupyterlab/coreutils';

/** Milliseconds between attempts: what did not help once will not help at once. */
const PAUSE = 10_000;
/** Milliseconds that an attempt may take. */
const LONGEST = 15_000;

let attempt: Promise<void> | null = null;
let last = -Infinity;

/**
 * Try it; those who ask at the same time share one attempt.
 *
 * @returns whether there was an attempt, after which a request may be made again.
 */
export async function signInAgain(baseUrl: string): Promise<boolean> {
  if (!PageConfig.getOption('hubPrefix')) {
    return false;
  }
  if (attempt === null && performance.now() - last > PAUSE) {
    attempt = visit(`${baseUrl.replace(/\/$/, '')}/lab`).finally(() => {
      attempt = null;
      last = performance.now();
    });
  }
  const isTried = attempt !== null;
  await attempt;
  return isTried;
}

/** Load a page in a frame in which no program runs: its redirections by way of the hub are what is wanted. */
function visit(url: string): Promise<void> {
  return new Promise(resolve => {
    const frame = document.createElement('iframe');
    frame.setAttribute('sandbox', 'allow-same-origin');
    frame.hidden = true;
    frame.ariaHidden = 'true';
    const end = (): void => {
      clearTimeout(timer);
      frame.remove();
      resolve();
    };
    const timer = setTimeout(end, LONGEST);
    frame.addEventListener('load', end);
    frame.addEventListener('error', end);
    frame.src = url;
    document.body.append(frame);
  });
}
