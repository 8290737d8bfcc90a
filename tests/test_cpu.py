"""The instruction set, the number of threads, and fork."""

import os
import subprocess
import sys

import petrain
import pytest

# Two parameters, so large that every thread gets work.
TRAIN = """
import numpy as np, os, petrain
def train(threads=None):
    if threads: petrain.set_num_threads(threads)
    p = [np.linspace(-1, 1, 100003, dtype=np.float32), np.linspace(0, 3, 50000, dtype=np.float32)]
    opt = petrain.optim.AdamW(p, lr=0.1)
    for _ in range(3): opt.step([x * 0.5 for x in p], max_norm=1.0)
    return b"".join(x.tobytes() for x in p)
"""


def python(code, **variables):
    """Standard output of a new process; a variable that is None is removed from its environment."""
    environment = {**os.environ, **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_cpu_info():
    info = petrain.cpu_info()
    assert list(info) == ["isa", "available", "threads", "openmp"]
    assert info["isa"] in info["available"]
    assert info["available"][0] in ("baseline", "neon")
    assert info["threads"] == petrain.get_num_threads() >= 1
    assert isinstance(info["openmp"], bool)
    if os.environ.get("PETRAIN_ISA"):
        assert info["isa"] == os.environ["PETRAIN_ISA"]


@pytest.mark.once
def test_the_most_capable_set_is_the_default():
    code = "import petrain; print(petrain.cpu_info()['isa'])"
    best = petrain.cpu_info()["available"][-1]
    assert python(code, PETRAIN_ISA=None) == python(code, PETRAIN_ISA="") == best


@pytest.mark.once
@pytest.mark.parametrize("isa", petrain.cpu_info()["available"])
def test_every_set_can_be_forced_and_gives_the_same_bits(isa):
    code = TRAIN + "import zlib; print(petrain.cpu_info()['isa'], zlib.crc32(train()))"
    first = petrain.cpu_info()["available"][0]
    assert python(code, PETRAIN_ISA=isa) == python(code, PETRAIN_ISA=first).replace(first, isa)


@pytest.mark.once
def test_an_unknown_set_is_an_error_that_lists_those_of_the_machine():
    code = """
import numpy as np, petrain
p = np.ones(3, np.float32)
opt = petrain.optim.SGD([p], lr=1.0)
for call in (petrain.cpu_info, petrain.cpu_info, lambda: opt.step([p * 1])):
    try: call()
    except ValueError as error: print(error)
assert (p == 1).all() and opt.state_dict()["steps"] == [0]
"""
    names = ", ".join(petrain.cpu_info()["available"])
    expected = f'PETRAIN_ISA is "sse9", but this machine has: {names}'
    assert python(code, PETRAIN_ISA="sse9").splitlines() == [expected] * 3


def test_set_num_threads(threads):
    threads(3)
    assert petrain.get_num_threads() == petrain.cpu_info()["threads"] == (3 if petrain.cpu_info()["openmp"] else 1)
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"the number of threads must be at least 1, got {count}"):
            petrain.set_num_threads(count)
    for count in (1.5, "2", None, 2**40):
        with pytest.raises(TypeError):
            petrain.set_num_threads(count)
    threads(1)
    assert petrain.get_num_threads() == 1


needs_openmp = pytest.mark.skipif(not petrain.cpu_info()["openmp"], reason="built without OpenMP")


@pytest.mark.once
@needs_openmp
def test_the_number_of_threads_at_start():
    code = "import petrain; print(petrain.get_num_threads())"
    for count in ("1", "2", "3"):
        assert python(code, OMP_NUM_THREADS=count) == count
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert python(code, OMP_NUM_THREADS=None) == str(processors)


@pytest.mark.once
def test_results_do_not_depend_on_the_number_of_threads():
    code = TRAIN + "assert train(1) == train(2) == train(3) == train(5); print('same')"
    assert python(code) == "same"


# The child prints what it found; the parent then still uses its threads.
FORK = (
    TRAIN
    + """
import sys
expected = train(1)
if {before}: assert train(3) == expected
petrain.set_num_threads(3)
sys.stdout.flush()
child = os.fork()
if child == 0:
    same = train() == expected
    count = petrain.get_num_threads()
    petrain.set_num_threads(2)
    print(same, count, petrain.get_num_threads(), train() == expected, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert train() == expected and petrain.get_num_threads() == 3
"""
)


@pytest.mark.once
@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_process_that_used_threads_uses_one():
    assert python(FORK.format(before=True)) == "True 1 1 True"


@pytest.mark.once
@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_process_that_used_no_threads_may_use_them():
    assert python(FORK.format(before=False)) == "True 3 2 True"
