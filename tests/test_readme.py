"""The README's Python examples run, in their order and in one namespace, as a reader would paste them."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.skipif(not README.read_text().strip(), reason="README.md is empty")
def test_python_examples(tmp_path, monkeypatch):
    text = README.read_text()
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert blocks, "README.md has no Python example"
    for block in blocks:
        if "import torch" in block[1]:
            pytest.importorskip("torch", reason="an example of README.md needs torch")
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(README), "exec"), namespace)
