"""All observers on any values and dtypes."""

import ml_dtypes
import numpy as np
import petrain
import pytest
from calibrate_cases import OBSERVERS, check_params
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from petrain import quant
from reference import calibrate as reference

SCHEMES = ["symmetric", "asymmetric"]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, max_side=9), elements=FINITE),
    st.sampled_from(OBSERVERS),
    st.sampled_from([8, 4]),
    st.sampled_from(SCHEMES),
)
def test_any_finite_values(x, kind, bits, scheme):
    observer = kind(bits, scheme)
    observer.observe(x)
    low, high = observer.range()
    least, most = reference.extremes(x)
    if scheme == "symmetric" and kind not in (quant.MinMaxObserver, quant.MovingAverageObserver):
        least, most = min(least, -most), max(most, -least)
    assert min(least, 0) <= low <= high <= max(most, 0)
    check_params(observer, low, high)
    assert observer.qparams().scale >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -1e-45, 5.3, -5.3, 3.4028235e38, -3.4028235e38])
def test_one_value(kind, scheme, value):
    observer = kind(scheme=scheme)
    observer.observe(np.full((2, 3), value, np.float32))
    low, high = observer.range()
    assert not np.signbit(low) or low < 0
    assert abs(value) < 2.0**-135 or max(-low, high) == abs(np.float32(value))
    params = observer.qparams()
    if value == 0:
        assert (params.scale, params.zero_point) == (1.0, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", OBSERVERS)
def test_dtypes(kind, dtype):
    x = np.random.default_rng(3).laplace(size=5000).astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
    narrow, wide = kind(), kind()
    narrow.observe(x)
    wide.observe(x.astype(np.float32))
    assert narrow.range() == wide.range()


@pytest.mark.parametrize("kind", OBSERVERS)
def test_torch_tensors(kind):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(4).standard_normal((50, 3), np.float32)
    ours, theirs = kind(), kind()
    ours.observe(x)
    theirs.observe(torch.from_numpy(x).requires_grad_())
    assert ours.range() == theirs.range()


@pytest.mark.parametrize("kind", OBSERVERS)
def test_before_the_first_observation(kind):
    observer = kind()
    for call in (observer.qparams, observer.range):
        with pytest.raises(petrain.Error, match=r"nothing was observed yet: call observe\(\) first"):
            call()
    assert observer.count == 0
