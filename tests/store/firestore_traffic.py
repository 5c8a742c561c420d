"""What a store sends to Firestore and reads from it, counted in the channel of its client."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.firestore_v1.types import BatchGetDocumentsResponse, CommitRequest, RunQueryRequest, RunQueryResponse


@dataclass(frozen=True)
class Sent:
    """One write of a commit."""

    at: float
    document: str
    kind: str
    """create, update or delete."""
    fields: frozenset[str]
    size: int
    """Bytes of the document, as it goes over the wire; Firestore's own count is a little smaller."""


@dataclass
class Traffic:
    commits: list[list[Sent]] = field(default_factory=list)
    commit_sizes: list[int] = field(default_factory=list)
    queries: list[RunQueryRequest] = field(default_factory=list)
    reads: int = 0
    """As Firestore bills them: each document, and one for a query without a result."""

    @property
    def sent(self) -> list[Sent]:
        return [write for commit in self.commits for write in commit]

    def count(self) -> Counter[str]:
        """Reads, writes and deletes, as Firestore bills them."""
        writes = [write.kind != "delete" for write in self.sent]
        return Counter(reads=self.reads, writes=sum(writes), deletes=len(writes) - sum(writes))

    @property
    def interceptors(self) -> list[grpc.aio.ClientInterceptor]:
        return [_Commits(self), _Reads(self)]

    def committed(self, request: CommitRequest) -> None:
        now = time.monotonic()
        self.commit_sizes.append(CommitRequest.pb(request).ByteSize())
        commit = []
        for write in request.writes:
            if write.delete:
                commit.append(Sent(now, write.delete, "delete", frozenset(), 0))
            else:
                kind = "create" if write.current_document.exists is False else "update"
                size = type(write.update).pb(write.update).ByteSize()
                commit.append(Sent(now, write.update.name, kind, frozenset(write.update.fields), size))
        self.commits.append(commit)


class _Commits(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        if isinstance(request, CommitRequest) and await call.code() == grpc.StatusCode.OK:
            self._traffic.committed(request)
        return call


class _Reads(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        if isinstance(request, RunQueryRequest):
            self._traffic.queries.append(request)
        return self._counted(await continuation(details, request), isinstance(request, RunQueryRequest))

    async def _counted(self, call: Any, is_query: bool) -> AsyncIterator[Any]:
        documents = 0
        async for response in call:
            match response:
                case RunQueryResponse():
                    documents += bool(response.document.name)
                case BatchGetDocumentsResponse():
                    documents += 1
            yield response
        self._traffic.reads += max(documents, 1) if is_query else documents
