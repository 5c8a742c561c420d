import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';

import { AgentsApi } from '../src/api';
import { RequestError, webSocketUrl } from '../src/request';

interface IAnswer {
  status: number;
  body: string;
}

/** A server that gives one answer, and keeps what it was asked. */
async function withServer(
  answer: IAnswer,
  then: (api: AgentsApi, asked: string[]) => Promise<void>
): Promise<void> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
    response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const baseUrl = `http://127.0.0.1:${port}/user/ada/`;
  const settings = ServerConnection.makeSettings({
    baseUrl,
    wsUrl: baseUrl.replace('http', 'ws'),
    token: 'secret',
    appendToken: true
  });
  try {
    await then(new AgentsApi(settings), asked);
  } finally {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  }
}

async function failureOf(promise: Promise<unknown>): Promise<RequestError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason
  );
  expect(error).toBeInstanceOf(RequestError);
  return error as RequestError;
}

test('the server’s own error is told with its code, its words and what else it has', async () => {
  const body = JSON.stringify({ code: 'stale_revision', message: 'Look.', reason: 'Conflict', current: 4 });
  await withServer({ status: 409, body }, async api => {
    const error = await failureOf(api.updateAgent('writer', { revision: 3, name: 'W' }));
    expect(error).toMatchObject({
      code: 'stale_revision',
      message: 'Look.',
      status: 409,
      details: { current: 4 }
    });
    expect(error.isOffline).toBe(false);
  });
});

test.each([
  [503, 'offline'],
  [424, 'offline'],
  [403, 'signed_out'],
  [500, 'unreadable'],
  [200, 'unreadable']
])('an answer of somebody on the way with status %d is %s', async (status, code) => {
  await withServer({ status, body: '<html>the proxy</html>' }, async api => {
    expect((await failureOf(api.run('1'))).code).toBe(code);
  });
});

test('a server that is not there is offline', async () => {
  let gone: AgentsApi | undefined;
  await withServer({ status: 200, body: '{}' }, api => {
    gone = api;
    return Promise.resolve();
  });
  expect((await failureOf(gone?.runs() ?? Promise.resolve())).isOffline).toBe(true);
});

test('how an unwell workspace is, is an answer', async () => {
  await withServer({ status: 503, body: '{"status":"unavailable","problems":["no disk"]}' }, async api => {
    expect((await api.health()).problems).toEqual(['no disk']);
  });
});

test('ids and queries are encoded, and what is not given is left out', async () => {
  await withServer({ status: 200, body: '{"items":[],"next":null}' }, async (api, asked) => {
    await api.runs({ status: ['running', 'waiting'], limit: 5 });
    await api.agent('a/b?c');
    expect(asked).toEqual([
      'GET /user/ada/api/runs?status=running&status=waiting&limit=5',
      'GET /user/ada/api/agents/a%2Fb%3Fc'
    ]);
    expect(webSocketUrl(api.settings, 'api/runs/1/events', { after: 2 })).toMatch(
      /^ws:.*\/user\/ada\/api\/runs\/1\/events\?after=2&token=secret$/
    );
  });
});
