"""The audit's table, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json

from aiinfn_hub.identity.audit import Act, acts, record
from aiinfn_hub.store.engine import Database


def test_what_is_kept_comes_back_newest_first_and_once(database: Database) -> None:
    login = Act(what="login", actor="ada", about="ada", why="…", at=1.0, facts={"groups": ["/a", "/b"], "admin": False})
    refused = Act(what="login-refused", actor="eve", why="no", done=False, at=2.0)
    database.run(record, [login, refused])
    database.run(record, [refused])  # the hub sends again what it does not know to be stored
    database.run(record, [])
    assert database.run(acts) == [refused, login]


def test_what_can_be_asked_for(database: Database) -> None:
    found = [
        Act(what="admin", actor="olga", about="ada", at=1.0),
        Act(what="login", actor="ada", about="ada", at=2.0),
        Act(what="login", actor="bob", about="bob", at=3.0),
    ]
    database.run(record, found)
    assert [act.at for act in database.run(acts, person="ada")] == [2.0, 1.0]
    assert [act.at for act in database.run(acts, person="olga")] == [1.0]
    assert [act.at for act in database.run(acts, what="login")] == [3.0, 2.0]
    assert [act.at for act in database.run(acts, before=3.0, limit=1)] == [2.0]
    assert database.run(acts, person="' OR 1=1 --") == []


def test_a_line_of_the_log_is_one_line() -> None:
    act = Act(what="login-refused", actor="x\nadmin logged in", why='"\r\n')
    assert len(act.line.splitlines()) == 1
    assert json.loads(act.line)["actor"] == "x\nadmin logged in"
