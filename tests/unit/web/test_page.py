from __future__ import annotations

import re
from urllib.parse import urljoin

from imagefleet_web import __version__
from web_tier import Web, World


def test_the_page_knows_the_limits(world: World) -> None:
    web = Web(world, max_files=7, max_file_bytes=1_000_000, max_request_bytes=3_000_000)

    answer = web.get("/")

    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert 'data-max-files="7"' in answer.text
    assert 'data-max-file-bytes="1000000"' in answer.text
    assert 'data-max-request-bytes="3000000"' in answer.text
    assert 'data-formats="JPEG,PNG,WebP,GIF,BMP,TIFF"' in answer.text
    assert __version__ in answer.text


def test_every_part_of_the_page_is_served_from_here(web: Web) -> None:
    parts = re.findall(r'(?:src|href)="(/static/[^"]+)"', web.get("/").text)

    assert parts
    assert [web.get(part).status_code for part in parts] == [200] * len(parts)


def test_every_module_is_named_at_once_and_not_found_one_after_the_other(web: Web) -> None:
    preloaded = set(re.findall(r'rel="modulepreload" href="([^"]+)"', web.get("/").text))

    imported = {
        urljoin(module, path)
        for module in preloaded
        for path in re.findall(r'from "(\.[^"]+)"', web.get(module).text)
    }

    assert imported
    assert imported <= preloaded
