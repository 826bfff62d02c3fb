"""The folder of the embedded platform."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from aiinfn_hub.errors import Conflict, InvalidInput
from aiinfn_hub.local import home as home_module
from aiinfn_hub.local.home import PORT_RANGE, PORTS, Home, free_ports, is_free


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_a_secret_is_made_once_and_read_by_its_owner_only(home: Home) -> None:
    path = home.secret("hub-key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 64
    assert home.secret("hub-key").read_text() == path.read_text()
    assert home.secret("other").read_text() != path.read_text()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_is_replaced_in_one_step(home: Home) -> None:
    path = home.write_private(home.path / "settings.json", "one")
    home.write_private(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in home.path.glob(".*")] == []


def test_two_demos_cannot_share_a_folder(home: Home) -> None:
    with pytest.raises(Conflict, match="Another demo uses"):
        Home(home.path)
    home.close()
    Home(home.path).close()


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_a_folder_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="cannot be written"):
        Home(tmp_path / "home")


def test_a_file_where_the_folder_should_be_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be written.*--home"):
        Home(tmp_path / "home")


def test_ports_stay_the_same_over_restarts(home: Home) -> None:
    public = free_ports(1)[0]
    first = home.ports(public)
    assert set(first) == {"public", *PORTS}
    assert len(set(first.values())) == len(first)
    assert home.ports(public) == first


def test_a_port_that_somebody_took_meanwhile_is_replaced(home: Home) -> None:
    public = free_ports(1)[0]
    first = home.ports(public)
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", first["service"]))
        thief.listen()
        second = home.ports(public)
    assert second["service"] != first["service"]
    assert second["hub"] == first["hub"]


def test_a_public_port_in_use_is_refused_with_another_one(home: Home) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(Conflict, match=rf"Port {port} is in use.*--port \d+"):
            home.ports(port)


def test_free_ports_are_none_that_a_connection_going_out_may_take() -> None:
    found = free_ports(3, avoid=PORT_RANGE[50:])
    assert sorted(found) == sorted(set(found))
    assert set(found) <= set(PORT_RANGE[:50])


def test_a_port_on_which_somebody_listens_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        taken = busy.getsockname()[1]
        busy.listen()
        monkeypatch.setattr(home_module, "PORT_RANGE", [taken, *PORT_RANGE[:2]])
        assert taken not in free_ports(2)
