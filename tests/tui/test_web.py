"""The dashboard in a browser: the page, its screen over the websocket, and who is turned away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.run_folders import make_run

aiohttp = pytest.importorskip("aiohttp", reason="the extra `web`")
pytest.importorskip("textual_serve", reason="the extra `web`")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web with a blank")
    make_run(folder, "seen-in-a-browser", step=500)
    settings = {"XDG_CONFIG_HOME": str(folder / ".c"), "XDG_STATE_HOME": str(folder / ".s")}
    child = subprocess.Popen(
        [sys.executable, "-m", "nanochat_framework", "tui", "--web", "--port", "0", "--runs-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    )
    try:
        assert child.stdout is not None and child.stderr is not None
        line = child.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), child.stderr.read()
        yield line
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
        assert child.stderr.read() == "Ctrl-C ends it; trainings go on\n"
    finally:
        child.kill()
        child.wait()


def get(address: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(address, headers=headers)
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            time.sleep(0.1)  # it is about to listen
    raise AssertionError("nobody listens")


def test_the_page(address: str) -> None:
    status, page = get(address)
    assert status == 200
    base = address.partition("?")[0]
    assert base.replace("http", "ws") + "ws" in page
    elsewhere = set(re.findall(r"https?://[^\"'/]+", page.replace(base.rstrip("/"), "")))
    assert elsewhere <= {"http://www.w3.org"}, "nothing is fetched from elsewhere; that is the name of a format"


def test_the_screen_comes_over_the_websocket(address: str) -> None:
    async def screen() -> bytes:
        seen = b""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            await (await session.get(address)).read()  # the cookie
            url = address.partition("?")[0].replace("http", "ws") + "ws?width=100&height=20"
            async with session.ws_connect(url) as socket:
                async with asyncio.timeout(60):
                    async for message in socket:
                        seen += message.data if isinstance(message.data, bytes) else b""
                        if b"seen-in-a-browser" in seen:
                            await socket.send_str(json.dumps(["stdin", "q"]))
                            break
        return seen

    assert b"seen-in-a-browser" in asyncio.run(screen())


def test_who_is_turned_away(address: str) -> None:
    base, _, token = address.partition("?token=")
    assert get(base)[0] == 403
    assert get(f"{base}?token=x{token}")[0] == 403
    assert get(f"{base}ws")[0] == 403
    assert get(f"{base}static/js/textual.js")[0] == 403
    assert get(address, Origin="http://evil.example")[0] == 403
    assert get(address, Host="evil.example")[0] == 403, "a name that was made to point here"
    assert get(address, Origin=base.rstrip("/"))[0] == 200


def run(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    begin = [sys.executable, "-c", script] if script else [sys.executable, "-m", "nanochat_framework"]
    return subprocess.run([*begin, "tui", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_mistakes(address: str, tmp_path: Path) -> None:
    port = address.rpartition(":")[2].partition("/")[0]
    for arguments, message in (
        (["--web", "--port", port], f"--web: 127.0.0.1:{port}: Address already in use"),
        (["--web", "--port", "70000"], "--port 70000: from 0 to 65535"),
        (["--web", "--plain"], "--web shows the screen"),
        (["--web", "--host", "no such host"], "--web: no such host:8000: "),
        (["--web", "nope"], "nope"),
        (["--port", "1"], "--port and --host go with --web"),
    ):
        done = run("--runs-dir", str(tmp_path), *arguments)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_without_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['textual_serve'] = None\n"
        "from nanochat_framework import cli\nsys.exit(cli.main(sys.argv[1:]))"
    )
    done = run("--web", "--runs-dir", str(tmp_path), script=script)
    assert done.returncode == 2
    assert done.stderr == "error: --web needs the extra `web`: pip install 'nanochat-framework[web]'\n"
