"""The Python of docs/serving.md runs against a server, one block after another."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


def test_the_python_of_the_page_runs(server):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict = {}
    for code in blocks:
        exec(code.replace("8000", str(server.port)), names)
    assert names["actions"].shape == (4, 7)
    assert names["following"].shape == (3, 7)
