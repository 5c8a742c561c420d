import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerConnection } from '@jupyterlab/services';
import { WebSocket, WebSocketServer } from 'ws';

import { AgentsApi } from '../src/api';
import type { FeedItem, FeedState } from '../src/events';
import { RunFeed } from '../src/events';
import { until } from './until';

/** The server's side of a run: it sends what is stored after `after`, and then what comes. */
class RunServer {
  async start(): Promise<this> {
    this._http = createServer((request, response) => {
      const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after') ?? 0);
      const isPage = request.url?.includes('/events');
      const page = {
        items: this._items.filter(one => Number(one.data['seq']) > after).map(one => one.data),
        next: after,
        run: {}
      };
      response
        .writeHead(this.status, { 'Content-Type': 'application/json' })
        .end(
          JSON.stringify(
            this.status === 200
              ? isPage
                ? page
                : { id: '1' }
              : { code: 'not_found', message: 'No such run.' }
          )
        );
    });
    this._sockets = new WebSocketServer({ noServer: true });
    this._http.on('upgrade', (request, socket, head) => {
      if (this.status !== 200) {
        socket.destroy();
        return;
      }
      this._sockets?.handleUpgrade(request, socket, head, connection => {
        this.connections += 1;
        const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after'));
        for (const item of this._items.filter(one => Number(one.data['seq']) > after)) {
          connection.send(JSON.stringify(item));
        }
      });
    });
    await new Promise<void>(resolve => this._http?.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get api(): AgentsApi {
    const { port } = this._http?.address() as AddressInfo;
    const settings = { baseUrl: `http://127.0.0.1:${port}/`, wsUrl: `ws://127.0.0.1:${port}/` };
    return new AgentsApi(
      ServerConnection.makeSettings({
        ...settings,
        WebSocket: WebSocket as unknown as typeof globalThis.WebSocket
      })
    );
  }

  /** Store an event, and tell it to who is there. */
  store(seq: number): void {
    const item = { type: 'event', data: { seq } };
    this._items.push(item);
    this.tell(item);
  }

  /** Store an event that gets lost on the way. */
  storeInSilence(seq: number): void {
    this._items.push({ type: 'event', data: { seq } });
  }

  tell(item: object): void {
    for (const connection of this._sockets?.clients ?? []) {
      connection.send(JSON.stringify(item));
    }
  }

  cut(): void {
    for (const connection of this._sockets?.clients ?? []) {
      connection.terminate();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    this._http?.closeAllConnections();
    await new Promise(resolve => this._http?.close(resolve));
  }

  status = 200;
  connections = 0;
  private readonly _items: { type: string; data: Record<string, unknown> }[] = [];
  private _http: Server | undefined;
  private _sockets: WebSocketServer | undefined;
}

let server: RunServer;
let feed: RunFeed;
let items: FeedItem[];
let states: FeedState[];

function seqs(): number[] {
  return items.flatMap(item => (item.type === 'event' ? [item.data.seq] : []));
}

beforeEach(async () => {
  server = await new RunServer().start();
  items = [];
  states = [];
  feed = new RunFeed(server.api, '1', { times: { gather: 1, retry: 5, retryMost: 20, silence: 100 } });
  feed.received.connect((_, more) => items.push(...more));
  feed.stateChanged.connect((_, state) => states.push(state));
});

afterEach(async () => {
  feed.dispose();
  await server.stop();
});

test('a reader gets what was and what comes, until the end', async () => {
  server.store(1);
  feed.start();
  await until(() => seqs().length === 1);
  server.tell({ type: 'delta', data: { text: 'Hel' } });
  server.store(2);
  server.tell({ type: 'end', data: { status: 'succeeded' } });
  await until(() => feed.state === 'ended');
  expect(items.map(item => item.type)).toEqual(['event', 'delta', 'event', 'end']);
  expect(states).toEqual(['connecting', 'live', 'ended']);
});

test('a lost connection leaves no gap and no repeat, and says that live text has holes', async () => {
  server.store(1);
  feed.start();
  await until(() => feed.lastSeq === 1);
  server.cut();
  server.storeInSilence(2);
  await until(() => feed.lastSeq === 2);
  server.tell({ type: 'event', data: { seq: 2 } });
  server.store(3);
  await until(() => feed.lastSeq === 3);
  await until(() => seqs().length === 3);
  expect(seqs()).toEqual([1, 2, 3]);
  expect(items.map(item => item.type)).toEqual(['event', 'reconnected', 'event', 'event']);
});

test('an event that follows none that was seen is asked for again with those between', async () => {
  feed.start();
  await until(() => server.connections === 1);
  server.storeInSilence(1);
  server.store(2);
  await until(() => seqs().length === 2);
  expect(seqs()).toEqual([1, 2]);
});

test('a connection that is silent though there is news is made anew', async () => {
  server.store(1);
  feed.start();
  await until(() => feed.lastSeq === 1);
  server.storeInSilence(2);
  await until(() => feed.lastSeq === 2);
  expect(server.connections).toBe(2);
});

test('a run that is not there is a failure with the server’s words', async () => {
  server.status = 404;
  feed.start();
  await until(() => feed.state === 'failed');
  expect(feed.error).toMatchObject({ code: 'not_found', message: 'No such run.' });
});

test('a server that is away is said, and found again', async () => {
  server.store(1);
  feed.start();
  await until(() => feed.lastSeq === 1);
  server.status = 503;
  server.cut();
  await until(() => states.includes('offline'));
  server.status = 200;
  server.storeInSilence(2);
  await until(() => feed.lastSeq === 2);
  expect(feed.state).toBe('live');
});
