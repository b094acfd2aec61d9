"""The dashboard of another machine: what is called, whatever the names hold, and a real ssh to this machine itself."""

from __future__ import annotations

import getpass
import os
import pty
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework import cli
from nanochat_framework.errors import UsageError
from nanochat_tui.remote import Place, command_line, place
from tests.tui.run_folders import make_run

THERE = f"{shlex.quote(sys.executable)} -m nanochat_framework"


@pytest.mark.parametrize(
    ("text", "host", "folder"),
    [
        ("big", "big", ""),
        ("me@big:/data/my runs", "me@big", "/data/my runs"),
        ("big:~/runs", "big", "runs"),
        ("big:~", "big", "."),
        ("big:a:b@c", "big", "a:b@c"),
        ("me@[::1]:runs", "me@::1", "runs"),
        ("10.0.0.1:", "10.0.0.1", ""),
    ],
)
def test_places(text: str, host: str, folder: str) -> None:
    assert place(text) == Place(host, folder)


@pytest.mark.parametrize(
    "text",
    ["", ":x", "-oProxyCommand=touch x", "-v:x", "a b", "me@", "me@-x:y", "-l@big", "a;b", "$(x)", "a\nb", "big:a\nb"],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError):
        place(text)


def test_the_exact_call() -> None:
    assert command_line(Place("me@big", "/data/runs"), ["--fps=1"], environ={}) == [
        "ssh",
        "-t",
        "--",
        "me@big",
        "nanochat tui --runs-dir=/data/runs --fps=1",
    ]
    assert command_line(
        Place("big"),
        ["--plain", "--", "my run"],
        ssh="ssh -p 2222 -i 'a key'",
        nanochat="venv/bin/nanochat",
        screen=False,
        environ={"NO_COLOR": "1", "COLORTERM": "", "OTHER": "x"},
    ) == [
        "ssh",
        "-p",
        "2222",
        "-i",
        "a key",
        "-T",
        "--",
        "big",
        "export NO_COLOR=1; venv/bin/nanochat tui --plain -- 'my run'",
    ]
    with pytest.raises(UsageError, match="No closing quotation"):
        command_line(Place("big"), [], ssh="ssh '")


hostile = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1, max_size=20)
NASTY = ["; rm -rf ~", "$(touch x)", "`x`", "a b", "'", '"', "-x", "--fresh", "*", "~/x", "\\", "!!", "a'b\"c$d", "é ∞"]


@pytest.mark.parametrize("text", NASTY)
def test_a_shell_takes_hostile_names_as_they_are(text: str) -> None:
    taken_as_it_is(text)


@given(hostile)
def test_a_shell_takes_any_name_as_it_is(text: str) -> None:
    taken_as_it_is(text)


def taken_as_it_is(text: str) -> None:
    """The far shell is played by this machine's."""
    nanochat = f"{shlex.quote(sys.executable)} -c 'import os, sys; os.write(1, chr(0).join(sys.argv[1:]).encode())'"
    arguments = [f"--filter={text}", "--", text]
    command = command_line(Place("big", text), arguments, nanochat=nanochat, environ={})
    done = subprocess.run(["sh", "-c", command[-1]], capture_output=True, check=True)
    assert done.stdout.decode().split("\0") == ["tui", f"--runs-dir={text}", *arguments]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--remote", "-v", "--plain"], "expected one argument"),
        (["--remote=-v", "--plain"], "[user@]host[:folder] is wanted"),
        (["--remote", "big", "--runs-dir", "x"], "--remote HOST:DIR names the folder of runs"),
        (["--remote-command", "x"], "--remote-command and --ssh go with --remote"),
        (
            ["--remote", "big", "--plain", "--ssh", "no-such-ssh"],
            "--remote needs no-such-ssh, which is not installed here",
        ),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main(["tui", *arguments])
    except SystemExit as raised:
        code = int(str(raised.code))
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """How to call ssh so that it comes to this machine, through a server of its own on the loopback interface."""
    server = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not server or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        pytest.skip("no OpenSSH server here (apt-get install openssh-server)")
    folder = tmp_path_factory.mktemp("ssh")
    folder.chmod(0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    child = subprocess.Popen([server, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE)
    (folder / "client").write_text(
        f"Host *\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n  BatchMode yes\n"
    )
    call = f"ssh -F {shlex.quote(str(folder / 'client'))}"
    try:
        deadline = time.monotonic() + 20
        while subprocess.run([*shlex.split(call), "127.0.0.1", "true"], capture_output=True, check=False).returncode:
            if child.poll() is not None or time.monotonic() > deadline:
                pytest.skip("an OpenSSH server does not start here")
            time.sleep(0.2)
        yield call
    finally:
        child.kill()
        child.wait()


def _remote(ssh: str, folder: Path, *arguments: str, there: str = THERE) -> list[str]:
    call = [sys.executable, "-m", "nanochat_framework", "tui", "--remote", f"127.0.0.1:{folder}"]
    return [*call, "--ssh", ssh, "--remote-command", there, *arguments]


def test_lines_of_another_machine(ssh: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's $(here); with blanks"
    make_run(folder, "one", step=500, metrics={"train/loss": 2.5})
    make_run(folder, "two", state="failed", step=5)
    call = _remote(ssh, folder, "--plain", "--once", "--filter", "loss<3 and name~o")
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].endswith(f"{folder}: 1 of 2 runs")


def test_no_nanochat_there(ssh: str, tmp_path: Path) -> None:
    call = _remote(ssh, tmp_path, "--plain", "--once", there="nowhere/bin/nanochat")
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "127.0.0.1: the shell there finds no nanochat; say where it is" in done.stderr


def test_no_way_there(ssh: str, tmp_path: Path) -> None:
    call = _remote(f"{ssh} -p 1", tmp_path, "--plain", "--once")
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: 127.0.0.1: ssh did not get there")


def test_the_screen_of_another_machine(ssh: str, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "over-there", step=500)
    main, other = pty.openpty()
    child = subprocess.Popen(
        _remote(ssh, tmp_path / "runs", "--fresh"),
        stdin=other,
        stdout=other,
        stderr=other,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(other)
    seen = b""
    try:
        for wanted, key in ((b"over-there", b"q"), (b"\x1b[?1049l", b"")):
            deadline = time.monotonic() + 60
            while wanted not in seen:
                assert time.monotonic() < deadline, seen[-1000:]
                if select.select([main], [], [], 0.1)[0]:
                    seen += os.read(main, 1 << 16)
            os.write(main, key)
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(main)
