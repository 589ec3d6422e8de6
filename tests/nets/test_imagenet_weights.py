"""ImageNet weights: taken where they are right, fetched where they are not there, else left alone."""

import hashlib
import http.client
import io
import urllib.error
import urllib.request

import pytest
from helpers import refused

from whales.nets.first_weights import FirstWeights

CONTENT = b"weights " * 300_000  # more than two blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def first(tmp_path, monkeypatch):
    """First weights that a file behind an address has, and the empty folder where they belong."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    source = tmp_path / "released.h5"
    source.write_bytes(CONTENT)
    return FirstWeights("net.h5", source.as_uri(), MD5)


def files(first):
    return [path.name for path in first.path.parent.iterdir()] if first.path.parent.exists() else []


def test_a_missing_file_is_fetched_once(first, tmp_path):
    assert first.fetch() == first.path == tmp_path / "keras/models/net.h5"
    assert first.path.read_bytes() == CONTENT
    (tmp_path / "released.h5").unlink()
    assert first.fetch() == first.path
    assert files(first) == ["net.h5"]


def test_a_file_of_another_content_stays_and_nothing_is_fetched(first, monkeypatch):
    first.path.parent.mkdir(parents=True)
    first.path.write_bytes(b"mine")
    asked = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: asked.append(1))
    refused(first.fetch, str(first.path), hashlib.md5(b"mine").hexdigest(), MD5, "--weights")
    assert first.path.read_bytes() == b"mine"
    assert asked == []


def test_what_is_no_file_stays(first):
    first.path.mkdir(parents=True)
    refused(first.fetch, str(first.path), "is no file")
    first.path.rmdir()
    first.path.symlink_to("nowhere")
    refused(first.fetch, str(first.path), "is no file")
    assert first.path.is_symlink()


def test_a_download_of_another_content_is_not_kept(first, tmp_path):
    for content in (CONTENT[:-1], b"<html>not found</html>", b""):
        (tmp_path / "released.h5").write_bytes(content)
        refused(first.fetch, hashlib.md5(content).hexdigest(), MD5, first.url, "is not kept")
        assert files(first) == []


@pytest.mark.parametrize(
    "reason",
    [
        urllib.error.URLError("no\nnetwork"),
        TimeoutError("timed out"),
        http.client.RemoteDisconnected("closed"),
    ],
)
def test_without_a_network_the_message_says_all(first, monkeypatch, reason):
    def away(*_, **__):
        raise reason

    monkeypatch.setattr(urllib.request, "urlopen", away)
    refused(first.fetch, "net.h5", str(first.path.parent), MD5, first.url, "--weights")
    assert files(first) == []


def test_a_connection_that_breaks_leaves_nothing(first, monkeypatch):
    class Breaking(io.BytesIO):
        headers = http.client.HTTPMessage()

        def read(self, size):
            block = super().read(size)
            if len(block) < size:
                raise ConnectionResetError(104, "Connection reset by peer")
            return block

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Breaking(CONTENT))
    refused(first.fetch, "Connection reset by peer", MD5)
    assert files(first) == []
