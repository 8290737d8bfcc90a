"""The Python examples of README.md and the guides run, in their order and in one namespace, as readers paste them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [page for page in sorted(ROOT.glob("docs/*.md")) if "```python\n" in page.read_text()]
PAGES = ["README.md", *(f"docs/{page.name}" for page in GUIDES)]


@pytest.mark.parametrize("page", PAGES)
def test_python_examples(page, tmp_path, monkeypatch):
    text = (ROOT / page).read_text()
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "example"}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert blocks, f"{page} has no Python example"
    for block in blocks:
        if "import torch" in block[1]:
            pytest.importorskip("torch", reason=f"an example of {page} needs torch")
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(ROOT / page), "exec"), namespace)
