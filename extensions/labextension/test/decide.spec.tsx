import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import type { Root } from 'react-dom/client';
import { createRoot } from 'react-dom/client';

import { DecideAlone } from '../src/approvals/decide';
import { AgentsModel } from '../src/model';
import { until } from './until';

const APPROVAL = { id: 'a1', tool: 'Bash', input: { command: 'ls' }, rules: [] };

let server: Server;
let model: AgentsModel;
let root: Root;
let decided: unknown[];
/** How often somebody asked what waits, since the last decision. */
let asked: number;
let isAway: boolean;

/** A server that has this one call, and whose run tells nobody of the decision. */
beforeEach(async () => {
  decided = [];
  asked = 0;
  isAway = false;
  server = createServer((request, response) => {
    let text = '';
    request.on('data', data => (text += String(data)));
    request.on('end', () => {
      let status = 200;
      let answer: object = { items: [], next: null };
      if (request.url?.includes('/decide')) {
        status = isAway ? 503 : decided.length ? 409 : 200;
        answer = { id: 'a1', code: isAway ? 'store_unavailable' : 'conflict', message: `Status ${status}.` };
        asked = 0;
        if (!isAway) {
          decided.push(JSON.parse(text));
        }
      } else if (request.url?.includes('/approvals')) {
        asked += 1;
      }
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  model = new AgentsModel(ServerConnection.makeSettings({ baseUrl: `http://127.0.0.1:${port}/` }), {
    approvals: 20
  });
  const place = document.body.appendChild(document.createElement('div'));
  root = createRoot(place);
  root.render(
    <DecideAlone
      approval={APPROVAL}
      model={model}
      trans={nullTranslator.load('')}
      label="Decide about Bash"
    />
  );
  await until(() => button('once') !== null);
});

afterEach(async () => {
  root.unmount();
  document.body.replaceChildren();
  model.dispose();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
});

function button(decision: string): HTMLButtonElement | null {
  return document.querySelector(`button[data-decision="${decision}"]`);
}

/** Wait until the answer to a decision is long known here. */
async function untilAnswered(): Promise<void> {
  await until(() => decided.length > 0 && asked > 4);
}

test('a decision that the server took is not made again before the call shows it', async () => {
  button('once')?.click();
  await untilAnswered();
  expect(button('once')?.disabled).toBe(true);
  button('once')?.click();
  button('deny')?.click();
  await untilAnswered();
  expect(decided).toEqual([{ decision: 'once' }]);
  expect(document.querySelector('[role="alert"]')).toBeNull();
});

test('Enter twice is one denial', async () => {
  button('deny')?.click();
  await until(() => document.querySelector('textarea') !== null);
  const enter = (): void => {
    const key = new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true });
    document.querySelector('textarea')?.dispatchEvent(key);
  };
  enter();
  enter();
  await untilAnswered();
  enter();
  await untilAnswered();
  expect(decided).toEqual([{ decision: 'deny' }]);
  expect(document.querySelector('[role="alert"]')).toBeNull();
});

test('a decision that the server did not take can be made again', async () => {
  isAway = true;
  button('once')?.click();
  await until(() => document.querySelector('[role="alert"]')?.textContent === 'Status 503.');
  isAway = false;
  await until(() => button('once')?.disabled === false);
  button('once')?.click();
  await untilAnswered();
  expect(decided).toEqual([{ decision: 'once' }]);
  expect(document.querySelector('[role="alert"]')).toBeNull();
});
