"""The main job, run as a user runs it, and what it leaves behind."""

# ruff: noqa: E402 (what needs the extras is imported where they are there)

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import petrain
import pytest

for extra in ("matplotlib", "rich", "sklearn", "typer"):
    pytest.importorskip(extra, reason=f"petrain demo needs {extra}: pip install 'petrain[demo]'")

from petrain.demo import data, settings
from petrain.demo.compression import score
from petrain.demo.evaluation import check_file
from petrain.demo.output import FILES, Output
from petrain.demo.training import new_model
from sklearn.metrics import f1_score, precision_score, recall_score

pytestmark = pytest.mark.once

SEED = 0
EXTRAS = ("matplotlib", "rich", "sklearn", "typer")


def run(*arguments, code=None):
    start = ["-c", code] if code else ["-m", "petrain"]
    # Other test runs may want the cores: a thread that waits should not keep one busy.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, *start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def demo(out, *arguments):
    return run("demo", "--out", out, "--seed", SEED, "--epochs", 20, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "a" / "b"  # neither is there yet
    done = demo(out, "--threads", 1)
    assert done.returncode == 0, done.stderr
    (out.parent / "stdout").write_text(done.stdout)
    return out


@pytest.fixture(scope="module")
def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def digits():
    return data.load(SEED)


def test_exactly_the_named_files_are_left(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_the_compressed_model_is_small_and_good(folder, metrics):
    original, compressed = metrics["original"], metrics["compressed"]
    assert original["accuracy"] >= 0.95
    assert compressed["accuracy"] >= original["accuracy"] - 0.02
    original_bytes = (folder / "original.safetensors").stat().st_size
    assert metrics["budget_bytes"] == int(0.06 * original_bytes)
    assert (folder / "compressed.safetensors").stat().st_size <= metrics["budget_bytes"]


def test_compressed_weights_are_int8(folder):
    model = petrain.load(folder / "compressed.safetensors")
    matrices = [array for array in model.tensors().values() if array.ndim == 2]
    assert matrices
    assert all(array.dtype == np.int8 for array in matrices)


@pytest.mark.parametrize("which", ["original", "compressed"])
def test_metrics_are_those_of_the_file(folder, metrics, digits, which):
    path = folder / f"{which}.safetensors"
    model = petrain.load(path)
    predicted, y, found = model(digits.test_x).argmax(axis=1), digits.test_y, metrics[which]
    average = {"average": "macro", "zero_division": 0}
    assert found["accuracy"] == np.mean(predicted == y)
    assert found["precision"] == precision_score(y, predicted, **average)
    assert found["recall"] == recall_score(y, predicted, **average)
    assert found["f1"] == f1_score(y, predicted, **average)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, predicted), 1)
    assert found["confusion"] == counts.tolist()
    assert found["file"] == path.name
    assert found["file_bytes"] == path.stat().st_size
    assert found["array_bytes"] == model.nbytes
    assert all(seconds > 0 for seconds in found["latency_seconds"].values())
    if found["peak_memory_bytes"] is not None:
        assert found["peak_memory_bytes"] > found["added_memory_bytes"] >= 0


def test_the_plan_is_the_model(folder, metrics):
    layers = petrain.load(folder / "compressed.safetensors").layers
    for layer in metrics["layers"]:
        weight = layers[layer["index"]].weight
        assert getattr(weight, "rank", None) == layer["rank"]
        assert list(weight.shape) == layer["shape"]
        assert weight.nbytes == layer["bytes_after"]


def test_the_sweep_holds_the_kept_model_and_keeps_to_its_budgets(metrics):
    kept = [point for point in metrics["sweep"] if point["budget"] == metrics["budget_bytes"]]
    assert [point["int8"] for point in kept] == [{k: metrics["compressed"][k] for k in ("file_bytes", "accuracy")}]
    assert all(point["int8"]["file_bytes"] <= point["budget"] for point in metrics["sweep"])


def test_the_same_seed_gives_the_same_bytes_on_two_threads_and_quiet_is_quiet(folder, tmp_path):
    done = demo(tmp_path, "--threads", 2, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in ("original.safetensors", "compressed.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_seed_decides_the_split_and_the_weights(digits):
    again, other = data.load(SEED), data.load(SEED + 1)
    np.testing.assert_array_equal(digits.test_x, again.test_x)
    assert not np.array_equal(digits.test_x, other.test_x)
    assert not np.array_equal(*(new_model(seed).parameters()["0.weight"] for seed in (SEED, SEED + 1)))


def test_the_split_is_stratified(digits):
    assert len(digits.train_y) + len(digits.test_y) == 1797
    parts = np.bincount(digits.test_y) / (np.bincount(digits.test_y) + np.bincount(digits.train_y))
    np.testing.assert_allclose(parts, 0.25, atol=0.005)
    assert digits.test_x.dtype == np.float32
    assert (digits.test_x.min(), digits.test_x.max()) == (0, 1)


def test_piped_output_is_plain_text(folder, metrics):
    text = (folder.parent / "stdout").read_text()
    assert "\x1b" not in text
    assert not re.search("[─━│┃]", text)
    assert f"{metrics['compressed']['accuracy']:.2%}" in text
    assert all(name in text for name in FILES)


def test_the_page_is_well_formed_and_needs_nothing_else(folder, metrics):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = ElementTree.fromstring(text)
    tags = [element.tag.rpartition("}")[2] for element in page.iter()]
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(tags)
    assert tags.count("svg") == 5
    for element in page.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("data:image/png;base64,", "#")), value
    assert not re.search(r"url\((?!#)|@import", text)
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert not re.search(r"#0000\d\d", text), "a stand-in colour was not replaced"
    words = " ".join(page.itertext())
    assert "Accuracy on the test images" in words  # the text of the charts is text
    assert f"{metrics['compressed']['accuracy']:.2%}" in words
    assert metrics["command"] in words
    assert str(folder) not in text


def test_a_file_that_answers_otherwise_is_refused(tmp_path, digits):
    petrain.save(new_model(1), tmp_path / "m.safetensors")
    check_file(tmp_path / "m.safetensors", new_model(1), digits.test_x)
    with pytest.raises(petrain.Error, match=r"m\.safetensors: the loaded model answers 450 of 450 images differently"):
        check_file(tmp_path / "m.safetensors", new_model(2), digits.test_x)


def one_line(done, code):
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_folder_that_cannot_be_made_is_an_error_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    error = one_line(demo(tmp_path / "file" / "out"), 1)
    assert error.startswith("petrain demo: cannot write to the folder ")
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_an_error_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot write to the folder" in one_line(demo(tmp_path), 1)


def test_a_folder_in_the_place_of_a_file_is_an_error_before_any_work(tmp_path):
    (tmp_path / "report.html").mkdir()
    assert "expected a file, got a folder" in one_line(demo(tmp_path), 1)


def test_a_budget_that_is_too_small_leaves_nothing_behind(tmp_path):
    error = one_line(run("demo", "--out", tmp_path / "out", "--epochs", 1, "--budget", 1000, "--quiet"), 1)
    least = re.search(r"budget_bytes: expected at least ([0-9]+), .*, got 1000$", error.strip())
    assert least, error
    scores = score(new_model(SEED), data.load(SEED))
    assert scores.plan(budget_bytes=int(least[1])).file_bytes == int(least[1])
    with pytest.raises(ValueError, match="expected at least"):
        scores.plan(budget_bytes=int(least[1]) - 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-5", "6 kB", "nan%", "٣"])
def test_bad_budgets(text):
    with pytest.raises(ValueError, match="expected a part of the original"):
        settings.parse_budget(text)


def test_a_bad_option_is_refused_without_a_traceback(tmp_path):
    for option in (["--budget", "tiny"], ["--threads", "0"], ["--seed", "-1"], ["--epochs", "0"]):
        assert option[0] in one_line(demo(tmp_path, *option), 2)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_half_way_keeps_the_files_of_before(tmp_path):
    (tmp_path / "report.html").write_text("old")

    def fail():
        with Output(tmp_path) as output:
            output.write("report.html", "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "old")]


@pytest.mark.parametrize("missing", EXTRAS)
def test_a_missing_extra_is_named_with_its_remedy(tmp_path, missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from petrain.cli import main; main()"
    done = run("demo", "--out", tmp_path / "out", code=code)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"petrain: this command needs {missing}; install it with: pip install 'petrain[demo]'"
    )


def test_the_package_needs_none_of_the_extras():
    done = run(code=f"import sys, petrain; print(set({EXTRAS}) & set(sys.modules))")
    assert done.stdout.strip() == "set()"


def test_version_and_info():
    assert run("--version").stdout == f"petrain {petrain.__version__}\n"
    info = run("info").stdout
    assert re.search(rf"^instruction set: {petrain.cpu_info()['isa']}$", info, re.MULTILINE)
