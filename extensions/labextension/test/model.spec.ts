import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';

import { AgentsModel } from '../src/model';
import { until } from './until';

let server: Server;
let model: AgentsModel;
let names: string[];
let away: boolean;

beforeEach(async () => {
  names = ['writer'];
  away = false;
  server = createServer((request, response) => {
    const path = request.url ?? '';
    const found = path.includes('/agents-health')
      ? { status: 'ok', problems: [] }
      : {
          items: path.includes('/agents') ? names.map(id => ({ id })) : [{ id: '2' }, { id: '1' }],
          next: null
        };
    response
      .writeHead(away ? 503 : 200, { 'Content-Type': 'application/json' })
      .end(away ? 'away' : JSON.stringify(found));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const settings = ServerConnection.makeSettings({ baseUrl: `http://127.0.0.1:${port}/` });
  model = new AgentsModel(settings, { agents: 20, runs: 20, approvals: 20, health: 20 });
});

afterEach(async () => {
  model.dispose();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
});

test('what changes at the server is told once', async () => {
  let told = 0;
  model.agents.changed.connect(() => (told += 1));
  await until(() => model.agents.value?.length === 1);
  names = ['reader', 'writer'];
  await until(() => model.agents.value?.length === 2);
  const before = told;
  await model.agents.refresh();
  await model.agents.refresh();
  expect(told).toBe(before);
});

test('what waits for the person is there oldest first', async () => {
  await until(() => model.approvals.value !== null);
  expect(model.approvals.value?.map(one => one.id)).toEqual(['1', '2']);
});

test('a server that is away is said, what was known stays, and it is found again', async () => {
  const told: boolean[] = [];
  model.onlineChanged.connect((_, online) => told.push(online));
  await until(() => model.agents.value !== null);
  away = true;
  await until(() => !model.online);
  expect(model.agents.value).toHaveLength(1);
  away = false;
  await model.agents.refresh();
  await until(() => model.online);
  expect(told[0]).toBe(false);
});
