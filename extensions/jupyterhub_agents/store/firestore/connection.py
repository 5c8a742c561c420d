"""Firestore's client: whose rights it has, and a channel that finds back after an outage."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Sequence
from typing import Any

import google.auth
import grpc
from google.auth.credentials import Credentials
from google.cloud.firestore_v1 import AsyncClient
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A connection that went silent is found dead within 40 s, though no call is open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC would wait up to 120 s between attempts to connect (its doc/connection-backoff.md): after an outage, nobody
    # should wait longer than for the outage itself.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A store has a connection of its own, so that closing it closes the connection.
    ("grpc.use_local_subchannel_pool", 1),
)


async def connect(
    project: str, database: str = "(default)", *, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
) -> AsyncClient:
    """A client with the rights of the Application Default Credentials, or without any for the emulator, which the
    environment variable FIRESTORE_EMULATOR_HOST (`host:port`) names. `interceptors` see every call.
    Raises google.auth's errors."""
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST")
    credentials = None
    # Google's libraries read files as they begin, and may ask the metadata server.
    if not emulator:
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=AsyncClient.SCOPE)
    client = await asyncio.to_thread(_Client, project, database, credentials)
    _keep_grpc_running()
    # The channel belongs to this event loop.
    if emulator:
        channel = grpc.aio.insecure_channel(emulator, options=_OPTIONS, interceptors=interceptors)
    else:
        channel = FirestoreGrpcAsyncIOTransport.create_channel(
            client.target, credentials=credentials, options=_OPTIONS, interceptors=interceptors
        )
    transport = FirestoreGrpcAsyncIOTransport(host=client.target, channel=channel)
    try:
        client.api = await asyncio.to_thread(FirestoreAsyncClient, transport=transport)
    except BaseException:
        await channel.close()
        raise
    return client


async def disconnect(client: AsyncClient) -> None:
    """Close the client's channel; calls that are open end with an error."""
    await client._firestore_api.transport.grpc_channel.close()


@functools.cache
def _keep_grpc_running() -> None:
    """gRPC's thread for asyncio ends with the last channel, whenever that is collected, and would be waited for in
    the event loop. It is a daemon and costs nothing while it waits."""
    grpc.aio.init_grpc_aio()


class _Client(AsyncClient):
    """AsyncClient offers no way to set a channel's options or interceptors: it makes its channel in this property."""

    api: FirestoreAsyncClient

    def __init__(self, project: str, database: str, credentials: Credentials | None) -> None:
        super().__init__(project=project, credentials=credentials, database=database)

    @property
    def target(self) -> str:
        return str(self._target)

    @property
    def _firestore_api(self) -> FirestoreAsyncClient:
        return self.api
