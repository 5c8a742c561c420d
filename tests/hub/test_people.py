"""Signing in, workspaces, and who may reach what."""

from __future__ import annotations

import pytest

from tests.hub.people import Person, RunningHub


def test_the_right_password_signs_in(hub: RunningHub) -> None:
    with Person(hub, "grace") as grace:
        page = grace.sign_in()
        assert (page.status_code, page.url.path) == (200, "/hub/home")


@pytest.mark.parametrize("name", ["grace", "admin"])
def test_a_wrong_password_does_not_sign_in(hub: RunningHub, name: str) -> None:
    with Person(hub, name) as stranger:
        page = stranger.sign_in("not-the-password-that-was-set-here")
        assert page.status_code == 403
        assert "Invalid username or password" in page.text
        assert stranger.browser.get("/hub/home").url.path == "/hub/login"


def test_the_peoples_password_does_not_sign_in_the_admin(hub: RunningHub) -> None:
    with Person(hub, "admin") as stranger:
        assert stranger.sign_in(hub.user_password).status_code == 403


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2fb", "-rf", "a b", "x" * 65, "é"])
def test_a_name_that_is_no_safe_folder_name_is_refused(hub: RunningHub, name: str) -> None:
    with Person(hub, name) as stranger:
        assert stranger.sign_in().status_code == 403
    assert not (hub.state / "homes" / name).is_dir() or name in (".", "..")


def test_a_person_gets_a_workspace_with_jupyterlab(ada: Person) -> None:
    page = ada.spawn().browser.get("/user/ada/")
    assert page.status_code == 200
    assert page.url.path.startswith("/user/ada/lab")
    assert "jupyter-config-data" in page.text


def test_two_people_have_homes_of_their_own(hub: RunningHub, ada: Person) -> None:
    bob = hub.person("bob")
    for person in (ada, bob):
        person.spawn()
        answer = person.workspace.put(
            "api/contents/mine.txt", json={"type": "file", "format": "text", "content": person.name}
        )
        assert answer.status_code == 201, answer.text
    for person in (ada, bob):
        assert (person.home / "mine.txt").read_text() == person.name
        assert person.home.stat().st_mode & 0o777 == 0o700
        assert (person.home / "mine.txt").stat().st_mode & 0o077 == 0


def test_one_person_cannot_reach_another_ones_workspace(hub: RunningHub, ada: Person) -> None:
    ada.spawn()
    bob = hub.person("bob")
    assert bob.browser.get("/user/ada/lab").status_code == 403
    headers = {"Authorization": f"token {bob.token}"}
    for path in ("/user/ada/api/contents", "/user/ada/api/kernels", "/user/ada/api/terminals"):
        assert bob.browser.get(path, headers=headers).status_code == 403
    for path in ("users/ada", "users/ada/tokens"):
        assert bob.api("GET", path).status_code == 404
    assert bob.api("DELETE", "users/ada/server").status_code == 404
    assert ada.is_ready()


def test_the_admin_sees_the_admin_page_and_others_do_not(hub: RunningHub, ada: Person) -> None:
    assert hub.person("admin").browser.get("/hub/admin").status_code == 200
    assert ada.browser.get("/hub/admin").status_code == 403


def test_a_token_reaches_the_workspace_until_it_is_revoked(ada: Person) -> None:
    ada.spawn()
    answer = ada.api("POST", f"users/{ada.name}/tokens", json={"note": "short-lived"}).json()
    assert ada.api("DELETE", f"users/{ada.name}/tokens/{answer['id']}").status_code == 204
    headers = {"Authorization": f"token {answer['token']}"}
    with Person(ada.hub, "ada") as program:
        assert program.browser.get("/hub/api/user", headers=headers).status_code == 403
        assert program.browser.get("/user/ada/api/contents", headers=headers).status_code == 403
    assert ada.workspace.get("api/contents").status_code == 200
