"""What the demo model makes of simple English."""

from __future__ import annotations

import pytest

from jupyterhub_agents.testing.demo_language import MAX_TASKS, Task, parse


@pytest.mark.parametrize(
    ("prompt", "skills"),
    [
        ("List the files here.", ["list"]),
        ("What files are here?", ["list"]),
        ("Please show me the files", ["list"]),
        ("show README.md", ["show"]),
        ("What's in notes.md?", ["show"]),
        ("Write fib.py and run it", ["write", "run"]),
        ("Can you write hello.py that prints hello, then run it?", ["write", "run"]),
        ("Create notes.md about whales. Then show it.", ["write", "show"]),
        ("1. Write a.py\n2. run it\n3. list the files", ["write", "run", "list"]),
        ("In notes.md replace foo with bar", ["replace"]),
        ('Append "and then run it" to notes.md', ["add"]),
        ("How many lines are in data.csv?", ["count"]),
        ("Tell me about this folder", ["count"]),
        ("Review the code here and find TODO", ["review", "find"]),
        ("What time is it?", ["run"]),
        ("Hello, list the files", ["list"]),
    ],
)
def test_a_prompt_is_a_list_of_tasks(prompt: str, skills: list[str]) -> None:
    tasks, strange = parse(prompt)
    assert [task.skill for task in tasks] == skills
    assert not strange


@pytest.mark.parametrize("prompt", ["Explain quantum physics", "who are you", "delete notes.md", "Say hello."])
def test_other_prompts_are_not_understood(prompt: str) -> None:
    tasks, strange = parse(prompt)
    assert not tasks
    assert len(strange) == 1


def test_what_is_understood_is_kept_apart_from_what_is_not() -> None:
    tasks, strange = parse("List the files. Dance for me.")
    assert tasks == [Task("list", "List the files")]
    assert strange == ["Dance for me"]


def test_a_prompt_makes_so_many_tasks_and_no_more() -> None:
    assert len(parse("List the files. " * 30)[0]) == MAX_TASKS


def test_nothing_is_cut_within_quotes() -> None:
    ((task,), _) = parse('Replace "salt. And run" with "pepper" in menu.txt')
    assert task.quoted == ["salt. And run", "pepper"]
    assert task.path == "menu.txt"


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ("list the files", "."), ("list the files in this folder", "."), ("list the files in src/app", "src/app"),
        ("list the files in the folder data", "data"), ("summarise the docs folder", "docs"),
    ],
)  # fmt: skip
def test_a_folder_may_be_named(words: str, folder: str) -> None:
    assert Task("list", words).folder == folder
