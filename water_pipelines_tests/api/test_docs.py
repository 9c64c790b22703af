"""The docs pages work without the internet."""

import re

import httpx


def test_a_docs_page_takes_everything_from_this_server(client: httpx.Client) -> None:
    """No script, style or image comes from elsewhere, and each one that is named is there."""
    for page in ("/docs", "/redoc"):
        html = client.get(page).text
        assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//[^"']*""", html)
        files = re.findall(r"""(?:src|href)\s*=\s*["'](/[^"']+)""", html)
        assert any(file.endswith(".js") for file in files)
        assert {client.get(file).status_code for file in files} == {200}


def test_answers_are_compressed_for_those_who_ask(client: httpx.Client) -> None:
    """The OpenAPI document is sent as gzip to a client that takes it, plain to one that does not."""
    compressed = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert (compressed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert compressed.content == plain.content
