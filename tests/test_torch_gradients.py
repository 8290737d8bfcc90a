"""Gradients that are missing, sparse, of another dtype or lazily negated; weights that are tied."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch_cases import BOTH, MATRICES_ALONE, NATIVE, assert_same, parameter, set_grads  # noqa: E402


def test_parameters_without_a_gradient_are_left_alone():
    courses = []
    for module in BOTH:
        params = [parameter(4, seed=i) for i in range(4)]
        params[3].requires_grad_(False)
        opt = module.Adam(params, lr=0.05)
        assert not opt.state
        opt.step()
        for step in range(10):
            set_grads(params[:3], step)
            params[0].grad = None if step % 3 else params[0].grad
            params[1].grad = None if step < 5 else params[1].grad
            opt.step()
        assert [opt.state[p]["step"].item() for p in params[:3]] == [4, 5, 10]
        assert params[3] not in opt.state
        courses.append(params)
    assert_same(*courses)


def test_mixed_dtypes():
    params = [parameter(5, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    opt = petrain.torch.AdamW(params, lr=0.5)
    for p in params:
        p.grad = torch.full_like(p, 2.0)
    before = [p.detach().double().clone() for p in params]
    opt.step()
    for p, q in zip(params, before, strict=True):
        torch.testing.assert_close(p.double(), q * (1 - 0.5 * 0.01) - 0.5, rtol=0.01, atol=0.01)
        assert opt.state[p]["exp_avg"].dtype is (torch.float64 if p.dtype is torch.float64 else torch.float32)


def test_gradients_of_tensor_subclasses_and_views():
    p = parameter(3)
    opt = petrain.torch.SGD([p], lr=1.0)
    before = p.detach().clone()
    p.grad = torch._neg_view(torch.ones(3))  # its memory holds the opposite of what it says
    opt.step()
    assert torch.equal(p, before + 1)


def test_tied_weights():
    courses = []
    for module in BOTH:
        torch.manual_seed(0)
        embedding, head = torch.nn.Embedding(7, 3), torch.nn.Linear(3, 7, bias=False)
        head.weight = embedding.weight
        model = torch.nn.Sequential(embedding, head)
        opt = module.AdamW(model.parameters(), lr=0.05)
        for _ in range(5):
            opt.zero_grad()
            model(torch.arange(7)).square().sum().backward()
            opt.step()
        courses.append([embedding.weight])
    assert_same(*courses)


@pytest.fixture
def sparse_checks():
    """Said on or off: where nothing is said, torch's Adagrad warns."""
    with torch.sparse.check_sparse_tensor_invariants():
        yield


@pytest.mark.usefixtures("sparse_checks")
@pytest.mark.parametrize(
    ("name", "twin", "arguments"),
    [("SGD", "SGD", {"lr": 0.1}), ("Adagrad", "Adagrad", {"lr": 0.1}), ("Adam", "SparseAdam", {"lr": 0.1})],
)
def test_sparse_gradients_of_an_embedding(name, twin, arguments):
    courses = []
    for cls in (getattr(petrain.torch, name), getattr(torch.optim, twin)):
        torch.manual_seed(0)
        model = torch.nn.Embedding(9, 4, sparse=True)
        opt = cls(model.parameters(), **arguments)
        for step in range(6):
            opt.zero_grad()
            rows = torch.tensor([1, 5, 1, step])  # 1 comes twice
            model(rows).square().sum().backward()
            assert model.weight.grad.is_sparse
            opt.step()
        courses.append([model.weight])
    assert_same(*courses)


def test_a_sparse_and_a_dense_gradient_in_turn():
    torch.manual_seed(0)
    model = torch.nn.Embedding(9, 4, sparse=True)
    opt = petrain.torch.SGD(model.parameters(), lr=1.0)
    before = model.weight.detach().clone()
    for grad in (torch.ones(9, 4), None, torch.ones(9, 4)):
        if grad is None:
            opt.zero_grad()
            model(torch.tensor([2])).sum().backward()
        else:
            model.weight.grad = grad
        opt.step(zero_grads=True)
        assert not model.weight.grad.to_dense().any()
    before -= 2
    before[2] -= 1
    torch.testing.assert_close(model.weight.detach(), before)


@pytest.mark.parametrize("name", NATIVE)
def test_a_sparse_gradient_touches_its_rows_alone_or_is_refused(name):
    whole = (*MATRICES_ALONE, "LAMB", "LARS", "Adafactor", "ScheduleFreeAdamW")
    model = torch.nn.Embedding(9, 4, sparse=True)
    opt = getattr(petrain.torch, name)([model.weight], **({"rank": 2} if name in ("GaLore", "APOLLO") else {}))
    before = model.weight.detach().clone()
    model(torch.tensor([1, 5, 1])).square().sum().backward()
    if name in whole:
        with pytest.raises(ValueError, match=r"gradient 0: a rule .* needs the whole gradient"):
            opt.step()
        assert torch.equal(model.weight, before)
        return
    opt.step()
    assert (model.weight != before).any(dim=1).nonzero().flatten().tolist() == [1, 5]


def test_a_sparse_gradient_of_a_permuted_parameter_is_refused():
    p = torch.nn.Parameter(torch.ones(4, 9).t())
    opt = petrain.torch.SGD([p])
    p.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 4), (9, 4), check_invariants=True)
    with pytest.raises(RuntimeError, match=r"parameter 0: expected a contiguous parameter for a sparse .* \(1, 9\)"):
        opt.step()
    assert torch.equal(p, torch.ones(9, 4))


def test_dense_gradients_that_are_zeroed_beside_a_sparse_one_say_so():
    """To autograd, which must find out that a tensor it saved was written to."""
    sparse, dense = torch.nn.Parameter(torch.ones(9, 4)), torch.nn.Parameter(torch.ones(3))
    opt = petrain.torch.SGD([sparse, dense])
    sparse.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 4), (9, 4), check_invariants=True)
    dense.grad = torch.ones(3)
    saved = (torch.ones(3, requires_grad=True) * dense.grad).sum()
    opt.step(zero_grads=True)
    assert not dense.grad.any()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()


def test_messages_have_the_numbers_of_all_parameters():
    """Not of those alone that have a gradient, which are all that the core has."""
    params = [torch.nn.Parameter(torch.ones(9, 4)) for _ in range(4)]
    opt = petrain.torch.LAMB([{"params": params[:2]}, {"params": params[2:]}])
    sparse = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 4), (9, 4), check_invariants=True)
    params[2].grad = sparse
    with pytest.raises(ValueError, match=r"^gradient 2: a rule .* needs the whole gradient"):
        opt.step()
    params[2].grad = None
    params[3].grad = params[3].detach()
    with pytest.raises(ValueError, match=r"^gradient 3 shares memory with parameter 3$"):
        opt.step()
    params[3].grad = torch.ones(9, 4)
    opt.step()
    opt.state[params[3]]["step"].fill_(-1.0)
    with pytest.raises(ValueError, match=r"^state of parameter 3: expected a step of at least 0, got -1"):
        opt.step()
    params[1].grad = torch.ones(9, 4)
    params[3].data = params[1].data
    opt.state.clear()
    with pytest.raises(ValueError, match=r"^parameters 1 and 3 share memory: each parameter may be given once$"):
        opt.step()
