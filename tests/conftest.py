"""What all tests share."""

import numpy as np
import petrain
import pytest
from hypothesis import settings

# The same examples in every run; no deadlines, since machines are shared.
settings.register_profile("petrain", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("petrain")


# Front ends whose arithmetic other files test: once in a run of all checks, not for every instruction set and count of
# threads.
FRONT_ENDS = (
    "test_torch",
    "test_schedules",
    "test_exchange",
    "test_quant_files",
    "test_readme",
    "test_qat_torch",
    "test_lora_peft",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name.startswith(FRONT_ENDS):
            item.add_marker(pytest.mark.once)


def pytest_report_header():
    info = petrain.cpu_info()
    return f"petrain: {info['isa']} of {', '.join(info['available'])}; {info['threads']} threads"


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture
def threads():
    """Sets the number of threads for one test: threads(2)."""
    before = petrain.get_num_threads()
    yield petrain.set_num_threads
    petrain.set_num_threads(before)
