"""The clauses on transcripts of Claude Code's sessions."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from ...errors import InvalidInput
from ...store import AgentStore
from .clauses import Clauses
from .samples import ODD_TEXT, Reopen, make_entries, outcomes, refused, transcript_key

MAIN = transcript_key()
SUBAGENT = transcript_key(subpath="subagents/agent-1")
MARK: dict[str, Any] = {"type": "mode", "mode": "plan"}
"""An entry without a uuid."""


class TranscriptClauses(Clauses):
    # Appending and loading

    async def test_a_transcript_gives_back_what_was_appended_in_order(self, store: AgentStore) -> None:
        entries = [*make_entries(5, 7), MARK, *make_entries(1, 4)]
        await store.append_transcript(self.owner, MAIN, entries[:2])
        await store.append_transcript(self.owner, MAIN, entries[2:3])
        await store.append_transcript(self.owner, MAIN, entries[3:])
        assert await store.load_transcript(self.owner, MAIN) == entries

    async def test_an_entry_comes_back_as_the_same_json(self, store: AgentStore) -> None:
        entry: dict[str, Any] = {
            "type": "user", "uuid": ODD_TEXT, "z": [True, 1, 1.0, 0.1, -1.5e300, None, [[], [[]]], {}, ""],
            "large": 2**53 + 1, "larger": 2**70, "": {"": ""}, "key with . $ / [0] and `": 1, "__x__": 2,
            ODD_TEXT: ODD_TEXT,
        }  # fmt: skip
        await store.append_transcript(self.owner, MAIN, [entry, MARK])
        loaded = await store.load_transcript(self.owner, MAIN)
        # As text, because Python takes 1, 1.0 and True for equal.
        assert json.dumps(loaded, sort_keys=True) == json.dumps([entry, MARK], sort_keys=True)

    async def test_a_large_entry_is_stored(self, store: AgentStore) -> None:
        entries = make_entries(1, 1, text="0123456789abcde\n" * (self.large_payload // 16))
        await store.append_transcript(self.owner, MAIN, [MARK, *entries, MARK])
        await store.append_transcript(self.owner, MAIN, entries)
        assert await store.load_transcript(self.owner, MAIN) == [MARK, *entries, MARK]

    async def test_half_of_a_surrogate_pair_in_an_entry_is_refused_and_nothing_is_stored(
        self, store: AgentStore
    ) -> None:
        broken = {"type": "user", "uuid": "broken", "text": "\ud83e"}
        await refused(InvalidInput, store.append_transcript(self.owner, MAIN, [*make_entries(1, 1), broken]))
        assert await store.load_transcript(self.owner, MAIN) is None

    async def test_a_transcript_that_never_was_is_none(self, store: AgentStore) -> None:
        assert await store.load_transcript(self.owner, MAIN) is None
        await store.append_transcript(self.owner, MAIN, make_entries(1, 1))
        for key in (SUBAGENT, transcript_key("another"), transcript_key(project_key="another")):
            assert await store.load_transcript(self.owner, key) is None

    async def test_appending_nothing_changes_nothing(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, MAIN, [])
        assert await store.load_transcript(self.owner, MAIN) is None
        assert await store.list_transcripts(self.owner, MAIN.project_key) == []
        assert await store.list_transcript_keys(self.owner) == []
        await store.append_transcript(self.owner, MAIN, make_entries(1, 2))
        await store.append_transcript(self.owner, MAIN, [])
        assert await store.load_transcript(self.owner, MAIN) == make_entries(1, 2)

    async def test_a_transcript_of_5000_entries_comes_back_whole(self, store: AgentStore) -> None:
        entries = make_entries(1, 5_000, text="x" * 200)
        for first in range(0, 5_000, 400):
            # Each batch sends the end of the one before again.
            await store.append_transcript(self.owner, MAIN, entries[max(first - 50, 0) : first + 400])
        assert await store.load_transcript(self.owner, MAIN) == entries

    # Sent again

    async def test_entries_sent_again_are_passed_over(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, MAIN, make_entries(1, 3))
        await store.append_transcript(self.owner, MAIN, make_entries(1, 3, changed=True))
        await store.append_transcript(self.owner, MAIN, make_entries(2, 2, changed=True))
        assert await store.load_transcript(self.owner, MAIN) == make_entries(1, 3)

    async def test_of_a_batch_that_overlaps_only_the_new_entries_are_stored(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, MAIN, make_entries(1, 3))
        await store.append_transcript(self.owner, MAIN, make_entries(2, 5, again=True))
        expected = [*make_entries(1, 3), *make_entries(4, 5, again=True)]
        assert await store.load_transcript(self.owner, MAIN) == expected

    async def test_an_entry_twice_in_one_call_is_stored_once(self, store: AgentStore) -> None:
        one, two = make_entries(1, 2)
        await store.append_transcript(self.owner, MAIN, [one, two, one])
        assert await store.load_transcript(self.owner, MAIN) == [one, two]

    async def test_entries_without_a_uuid_are_always_added(self, store: AgentStore) -> None:
        one, two = make_entries(1, 2)
        await store.append_transcript(self.owner, MAIN, [MARK, one, MARK])
        await store.append_transcript(self.owner, MAIN, [MARK, one, two])
        assert await store.load_transcript(self.owner, MAIN) == [MARK, one, MARK, MARK, two]

    async def test_the_same_uuid_in_another_transcript_is_another_entry(self, store: AgentStore) -> None:
        for key in (MAIN, SUBAGENT, transcript_key("another"), transcript_key(project_key="another")):
            await store.append_transcript(self.owner, key, make_entries(1, 2))
            assert await store.load_transcript(self.owner, key) == make_entries(1, 2)

    async def test_a_batch_sent_twenty_times_at_once_is_stored_once(self, store: AgentStore, reopen: Reopen) -> None:
        second = await reopen()
        batch = make_entries(1, 10)
        _, failed = await outcomes(
            (store, second)[number % 2].append_transcript(self.owner, MAIN, batch) for number in range(20)
        )
        assert failed == []
        assert await store.load_transcript(self.owner, MAIN) == batch

    async def test_batches_of_several_writers_are_stored_whole(self, store: AgentStore) -> None:
        batches = [make_entries(number * 10, number * 10 + 4) for number in range(10)]
        await asyncio.gather(*(store.append_transcript(self.owner, MAIN, batch) for batch in batches))
        loaded = await store.load_transcript(self.owner, MAIN)
        assert loaded is not None
        assert sorted((loaded[at : at + 5] for at in range(0, 50, 5)), key=lambda batch: batch[0]["n"]) == batches

    async def test_what_was_appended_is_there_in_another_store_on_the_same_data(
        self, store: AgentStore, reopen: Reopen
    ) -> None:
        await store.append_transcript(self.owner, MAIN, [MARK, *make_entries(1, 3)])
        await store.close()
        again = await reopen()
        await again.append_transcript(self.owner, MAIN, make_entries(3, 4))
        assert await again.load_transcript(self.owner, MAIN) == [MARK, *make_entries(1, 4)]

    # Listing

    async def test_sessions_of_a_project_are_listed_with_the_time_of_their_last_entry(self, store: AgentStore) -> None:
        before = time.time() * 1_000
        for session in ("b", "a"):
            await store.append_transcript(self.owner, transcript_key(session), make_entries(1, 1))
        await store.append_transcript(self.owner, transcript_key("c", project_key="another"), make_entries(1, 1))
        first = dict(await store.list_transcripts(self.owner, MAIN.project_key))
        assert sorted(first) == ["a", "b"]
        # Of the store's clock, which may differ from this one.
        assert all(abs(mtime - before) < 300_000 for mtime in first.values())
        await store.append_transcript(self.owner, transcript_key("a"), make_entries(2, 2))
        second = dict(await store.list_transcripts(self.owner, MAIN.project_key))
        assert second["b"] == first["b"]
        assert second["a"] >= first["a"]
        assert await store.list_transcripts(self.owner, "never") == []

    async def test_a_session_without_a_main_transcript_is_not_listed(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, SUBAGENT, make_entries(1, 1))
        assert await store.list_transcripts(self.owner, MAIN.project_key) == []
        await store.append_transcript(self.owner, MAIN, make_entries(1, 1))
        assert [session for session, _ in await store.list_transcripts(self.owner, MAIN.project_key)] == ["session"]

    async def test_the_subpaths_of_a_session_are_listed(self, store: AgentStore) -> None:
        subpaths = ["subagents/agent-1", "subagents/agent-2", "subagents/deep/er/agent-3"]
        for subpath in ("", *subpaths):
            await store.append_transcript(self.owner, transcript_key(subpath=subpath), make_entries(1, 1))
        await store.append_transcript(self.owner, transcript_key("another", "x"), make_entries(1, 1))
        await store.append_transcript(self.owner, transcript_key("session", "y", "another"), make_entries(1, 1))
        listed = await store.list_transcript_subpaths(self.owner, MAIN.project_key, MAIN.session_id)
        assert sorted(listed) == subpaths
        assert await store.list_transcript_subpaths(self.owner, MAIN.project_key, "never") == []
        assert await store.list_transcript_subpaths(self.owner, "never", MAIN.session_id) == []

    async def test_keys_of_any_text_are_told_apart(self, store: AgentStore) -> None:
        keys = [
            transcript_key(session, subpath, project)
            for project, session, subpath in [
                ("a/b", "c", "d"), ("a", "b/c", "d"), ("a", "b", "c/d"), ("a/b/c/d", "x", ""), ("A", "b", "c/d"),
                (".", "..", "/"), ("__x__", "%2F", "."), (ODD_TEXT, ODD_TEXT, ODD_TEXT), ("p" * 1_000, "s" * 200, ""),
                ("-home-é", "é", "é"), ("-home-e\u0301", "e\u0301", "e\u0301"), ("p" * 1_000, "s" * 200, "x" * 1_000),
            ]
        ]  # fmt: skip
        for number, key in enumerate(keys):
            await store.append_transcript(self.owner, key, make_entries(number, number))
        for number, key in enumerate(keys):
            assert await store.load_transcript(self.owner, key) == make_entries(number, number)
        listed = await store.list_transcript_keys(self.owner)
        assert len(listed) == len(keys)
        assert all(key in listed for key in keys)
        assert await store.list_transcript_subpaths(self.owner, ODD_TEXT, ODD_TEXT) == [ODD_TEXT]

    # Deleting

    async def test_deleting_a_session_deletes_its_subpaths_and_nothing_else(self, store: AgentStore) -> None:
        second = transcript_key(subpath="subagents/agent-2")
        kept = [
            transcript_key("another"), transcript_key("another", SUBAGENT.subpath), transcript_key("session2"),
            transcript_key(project_key="another"), transcript_key("session", SUBAGENT.subpath, "another"),
        ]  # fmt: skip
        for key in (MAIN, SUBAGENT, second, *kept):
            await store.append_transcript(self.owner, key, make_entries(1, 3))
        await store.delete_transcript(self.owner, MAIN)
        for key in (MAIN, SUBAGENT, second):
            assert await store.load_transcript(self.owner, key) is None
        assert await store.list_transcript_subpaths(self.owner, MAIN.project_key, MAIN.session_id) == []
        listed = await store.list_transcripts(self.owner, MAIN.project_key)
        assert sorted(session for session, _ in listed) == ["another", "session2"]
        for key in kept:
            assert await store.load_transcript(self.owner, key) == make_entries(1, 3)

    async def test_deleting_a_subpath_deletes_that_one(self, store: AgentStore) -> None:
        second = transcript_key(subpath="subagents/agent-2")
        for key in (MAIN, SUBAGENT, second):
            await store.append_transcript(self.owner, key, make_entries(1, 3))
        await store.delete_transcript(self.owner, SUBAGENT)
        assert await store.load_transcript(self.owner, SUBAGENT) is None
        assert await store.load_transcript(self.owner, MAIN) == make_entries(1, 3)
        subpaths = await store.list_transcript_subpaths(self.owner, MAIN.project_key, MAIN.session_id)
        assert subpaths == [second.subpath]

    async def test_deleting_a_session_that_has_only_subpaths_deletes_them(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, SUBAGENT, make_entries(1, 1))
        await store.delete_transcript(self.owner, MAIN)
        assert await store.list_transcript_keys(self.owner) == []

    async def test_deleting_what_is_not_there_is_no_error(self, store: AgentStore) -> None:
        await store.delete_transcript(self.owner, MAIN)
        await store.delete_transcript(self.owner, SUBAGENT)

    async def test_a_deleted_transcript_may_be_written_anew(self, store: AgentStore) -> None:
        await store.append_transcript(self.owner, MAIN, [*make_entries(1, 3), MARK])
        await store.delete_transcript(self.owner, MAIN)
        await store.append_transcript(self.owner, transcript_key("another"), make_entries(1, 1))
        await store.append_transcript(self.owner, MAIN, make_entries(2, 4, again=True))
        assert await store.load_transcript(self.owner, MAIN) == make_entries(2, 4, again=True)

    # Owners

    async def test_anothers_transcripts_do_not_exist(self, store: AgentStore) -> None:
        for key in (MAIN, SUBAGENT):
            await store.append_transcript(self.owner, key, make_entries(1, 2))
        assert await store.load_transcript(self.other, MAIN) is None
        assert await store.list_transcripts(self.other, MAIN.project_key) == []
        assert await store.list_transcript_subpaths(self.other, MAIN.project_key, MAIN.session_id) == []
        assert await store.list_transcript_keys(self.other) == []
        await store.append_transcript(self.other, MAIN, make_entries(2, 3, theirs=True))
        assert await store.load_transcript(self.owner, MAIN) == make_entries(1, 2)
        assert await store.load_transcript(self.other, MAIN) == make_entries(2, 3, theirs=True)
        await store.delete_transcript(self.other, MAIN)
        for key in (MAIN, SUBAGENT):
            assert await store.load_transcript(self.owner, key) == make_entries(1, 2)
