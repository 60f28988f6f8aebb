"""Runs in a browser: who may see them, what is refused, and what a stranger's run cannot do."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from live_runs import GIF, append, fill, put_state
from typer.testing import CliRunner

from qmarl.errors import ConfigurationError, UnreachableError
from trainers import serve
from trainers.cli import app
from trainers.serve import Server
from trainers.serve_shelf import Shelf

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


class Browser:
    """As much of a browser as a test needs: it keeps a cookie."""

    def __init__(self, server):
        self.server = server
        self.port = int(re.search(r":(\d+)/$", server.root)[1])
        self.cookie = ""

    def get(self, path, method="GET", **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers |= {"Cookie": self.cookie} if self.cookie else {}
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        body = answer.read().decode(errors="replace")
        link.close()
        return answer, body

    def enter(self):
        answer, _ = self.get(f"/?token={self.server.token}")
        self.cookie = answer.getheader("Set-Cookie").split(";")[0]
        return answer

    def live(self, name, seen=""):
        return json.loads(self.get(f"/run/{name}/live?seen={seen}")[1])


@pytest.fixture
def home(tmp_path):
    fill(tmp_path / "runs" / "patrol" / "20260101-120000-abcdef")
    return tmp_path / "runs"


@pytest.fixture
def site(home):
    with Server([home]) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield Browser(server)
        server.stop()
        thread.join()


@pytest.fixture
def inside(site):
    site.enter()
    return site


def run_of(browser):
    return re.search(r"/run/([0-9a-f]+)/", browser.get("/")[1])[1]


@pytest.mark.parametrize("path", ["/", "/live", "/run/0/", "/?token=", "/?token=%ff", "/nothing"])
def test_without_the_token_there_is_only_a_door(site, path):
    answer, body = site.get(path)
    assert answer.status == 401
    assert "patrol" not in body
    assert answer.getheader("Set-Cookie") is None
    site.cookie = f"qmarl_{site.port}=guess"
    assert site.get(path)[0].status == 401
    site.cookie = f"qmarl_{site.port}={site.server.token}"  # the token itself is no session
    assert site.get(path)[0].status == 401


def test_the_token_opens_and_leaves_the_address(site):
    answer = site.enter()
    assert (answer.status, answer.getheader("Location")) == (303, "/")
    cookie = answer.getheader("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert site.server.token not in cookie
    page, body = site.get("/")
    assert page.status == 200
    assert "patrol" in body
    assert site.server.token not in body
    assert site.server.address == f"{site.server.root}?token={site.server.token}"


def test_the_token_does_not_lead_elsewhere(site):
    for path in ("//evil.example/", "/\\evil.example", "/run/../..//evil.example/"):
        assert site.get(f"{path}?token={site.server.token}")[0].getheader("Location") == "/"
    there = f"/run/0123456789abcdef/?token={site.server.token}"
    assert site.get(there)[0].getheader("Location") == "/run/0123456789abcdef/"


def test_every_answer_forbids_what_it_does_not_need(inside):
    name = run_of(inside)
    for path in ("/", "/live.js", f"/run/{name}/", f"/run/{name}/live", "/nothing"):
        answer, _ = inside.get(path)
        policy = answer.getheader("Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert "script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Referrer-Policy") == "no-referrer"
        assert answer.getheader("Cache-Control") == "no-store"
    report, body = inside.get(f"/run/{name}/report")
    assert "script-src" not in report.getheader("Content-Security-Policy")
    assert "qmarl report" in body


def test_no_path_leads_out(inside, home):
    (home / "secret.txt").write_text("treasure")
    name = run_of(inside)
    for path in (
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        f"/run/{name}/../../secret.txt",
        f"/run/{name}/..%2f..%2fsecret.txt",
        f"/run/{name}/metrics.jsonl",
        f"/run/{name}/flight.gif",
        "/run/../",
        f"{home}/secret.txt",
        f"/run/{home}/",
    ):
        answer, body = inside.get(path)
        assert answer.status == 404, path
        assert "treasure" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_reads(inside, method):
    assert inside.get("/", method)[0].status == 501


def test_a_page_shows_curves_clients_times_and_the_flight(inside, home):
    (run,) = (home / "patrol").iterdir()
    (run / "media" / "flight.gif").write_bytes(GIF)
    name = run_of(inside)
    body = inside.get(f"/run/{name}/")[1]
    for text in (
        "<svg",
        "alice",
        "last refused: norm is too large",
        "circuits 50",
        "flight.gif?v=",
    ):
        assert text in body
    cells = re.findall(r"carol</th><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>", body)
    assert cells == [("4", "4", "4")]  # asked, used, late
    answer, _ = inside.get(f"/run/{name}/flight.gif")
    assert (answer.status, answer.getheader("Content-Type")) == (200, "image/gif")


def test_what_changed_is_sent_and_nothing_else(inside, home):
    (run,) = (home / "patrol").iterdir()
    name = run_of(inside)
    first = inside.live(name)
    assert "4 of 10" in first["parts"]["head"]
    assert not first["ended"]
    assert inside.live(name, first["version"])["parts"] == {}
    append(run, 4)
    put_state(run, "finished", 5)
    second = inside.live(name, first["version"])
    assert "5 of 10" in second["parts"]["head"]
    assert second["ended"]
    assert "flight" in second["parts"]


def test_a_new_run_is_found_while_it_serves(inside, home):
    fill(home / "race" / "20260102-120000-abcdef", name="race")
    cards = json.loads(inside.get("/live")[1])["parts"]["cards"]
    assert cards.index("race") < cards.index("patrol")
    assert inside.get(f"/run/{run_of(inside)}/")[0].status == 200


def test_what_a_stranger_wrote_is_text(inside, home):
    fill(home / "evil", name=EVIL)
    with (home / "evil" / "federation.jsonl").open("a") as file:
        told = {EVIL: {"asked": [EVIL], "rejected": [{"client": EVIL, "reason": EVIL}]}}
        file.write(json.dumps({"round": 9, "groups": told}) + "\n")
    with (home / "evil" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"round": 9, f"federation/{EVIL}/bytes_up": 1}) + "\n")
    (home / "evil" / "report.html").write_text(EVIL)
    put_state(home / "evil", "failed", 4, EVIL + "\udc80")
    front = inside.get("/")[1]
    names = set(re.findall(r"/run/([0-9a-f]+)/", front))
    (name,) = names - set(re.findall(r"/run/([0-9a-f]+)/\">patrol", front))
    pages = ["/", "/live", *(f"/run/{name}/{part}" for part in ("", "live", "report"))]
    for path in pages:
        answer, body = inside.get(path)
        assert answer.status == 200
        assert "<script>" not in body
        assert "<img src=x" not in body
        assert "document.title" in body or path in ("/live",)


@pytest.mark.parametrize("place", ["metrics.jsonl", "media/flight.gif", "eval/a.json"])
def test_a_link_out_of_a_run_is_refused(inside, home, place):
    (run,) = (home / "patrol").iterdir()
    name = run_of(inside)
    (home / "treasure").write_bytes(GIF + b"treasure")
    (run / place).unlink(missing_ok=True)
    (run / place).symlink_to(home / "treasure")
    for part in ("", "live", "report", "flight.gif"):
        body = inside.get(f"/run/{name}/{part}")[1]
        assert "treasure" not in body.replace(str(home), "")
        assert "GIF89a" not in body
    assert "is a link" in inside.get("/")[1]


def test_linked_runs_are_not_followed(home, tmp_path):
    fill(tmp_path / "elsewhere", name="elsewhere")
    (home / "door").symlink_to(tmp_path / "elsewhere")
    (home / "patrol" / "latest").symlink_to(tmp_path / "elsewhere")
    assert len(Shelf([home]).names()) == 1
    assert len(Shelf([home, home / "door"]).names()) == 2  # unless somebody names the link


def test_memory_is_bounded_by_reading_again(home, monkeypatch):
    from trainers import serve_shelf

    for number in range(3):
        fill(home / f"more{number}")
    shelf = Shelf([home])
    monkeypatch.setattr(serve_shelf, "MOST_KEPT", 10_000)
    names = shelf.names()
    for name in [*names, *names]:
        assert shelf.look(name).done == 4
        assert name in shelf._watchers
        assert sum(one.size for one in shelf._watchers.values()) <= 10_000
    assert len(shelf._watchers) < 4


def test_a_page_that_cannot_be_drawn_ends_no_other(inside, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("of a stranger")

    name = run_of(inside)
    monkeypatch.setattr(serve.pages, "run", fail)
    answer, body = inside.get(f"/run/{name}/")
    assert answer.status == 500
    assert "of a stranger" not in body
    assert inside.get("/")[0].status == 200


def test_too_many_connections_are_closed_at_once(home, monkeypatch):
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 1)
    with Server([home]) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        place = ("127.0.0.1", Browser(server).port)
        with socket.create_connection(place, 10) as silent:
            silent.sendall(b"GET ")  # and then nothing: it takes the only place
            with socket.create_connection(place, 10) as late:
                assert late.recv(10) == b""
        server.stop()
        thread.join()


def test_a_silent_browser_is_sent_away(site, monkeypatch):
    monkeypatch.setattr(serve._Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", site.port), 10) as silent:
        assert silent.recv(10) == b""


def test_it_listens_on_this_machine_alone_unless_told(home):
    with Server([home]) as server:
        assert server.private
        assert server.root.startswith("http://127.0.0.1:")
    with Server([home], host="0.0.0.0") as server:
        assert not server.private


def test_problems_are_told_in_a_sentence(home, tmp_path):
    with pytest.raises(ConfigurationError, match="no directory"):
        Server([home / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no run in"):
        Server([tmp_path / "empty"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"port {port}"):
            Server([home], port=port)
    with pytest.raises(UnreachableError, match="cannot listen"):
        Server([home], host="not a host")


def test_tokens_differ_from_server_to_server(home):
    with Server([home]) as one, Server([home]) as other:
        assert one.token != other.token
        assert len(one.token) >= 43  # 256 bit


def test_the_command_prints_the_address(home, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve", interrupt)
    done = CliRunner().invoke(app, ["serve", str(home), "--port", "0"])
    assert done.exit_code == 0
    assert re.match(r"open http://127\.0\.0\.1:\d+/\?token=\S{43}\n", done.output)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_real_browser_follows_a_run_and_obeys_no_stranger(site, home, tmp_path, monkeypatch):
    run = fill(home / "evil", name=EVIL)
    original = serve.pages.run

    def page(look, name):
        drawn = original(look, name)
        if look.record.path == run:
            append(run, look.done)  # between the page and the first question what changed
        return drawn

    monkeypatch.setattr(serve.pages, "run", page)
    site.enter()
    names = set(re.findall(r"/run/([0-9a-f]+)/", site.get("/")[1]))
    shown = [browse(site, f"run/{name}/", tmp_path) for name in names]
    assert [">5 of 10<" in dom for dom, _ in shown].count(True) == 1
    for dom, console in shown:
        assert '<path class="thick"' in dom
        assert "<title>owned" not in dom
        assert 'id="pulse" class="on"' in dom  # our own script ran and was answered
        assert "Refused to" not in console
        assert "violates" not in console


def browse(site, path, tmp_path):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'chromium'}", "--enable-logging=stderr"]
    address = f"{site.server.root}{path}?token={site.server.token}"
    command += ["--virtual-time-budget=9000", address]
    done = subprocess.run(command, capture_output=True, timeout=120, text=True, check=False)
    return done.stdout, "\n".join(s for s in done.stderr.splitlines() if "CONSOLE" in s)


def test_serving_loads_no_heavy_packages():
    code = "import sys, trainers.serve; print({'torch', 'pennylane', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
