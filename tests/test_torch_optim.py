"""What surrounds the rules in PyTorch: closures, hooks, groups, schedules, scalers, layouts, tensors that change."""

import gc
import math
import subprocess
import sys
import weakref

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain  # noqa: E402
import petrain.torch  # noqa: E402

BOTH = (petrain.torch, torch.optim)


def parameter(*shape, seed=0, dtype=torch.float32):
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype))


def set_grad(params, seed):
    for i, p in enumerate(params):
        generator = torch.Generator().manual_seed(100 * seed + i)
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def assert_same(ours, theirs):
    torch.testing.assert_close([p.detach() for p in ours], [p.detach() for p in theirs], rtol=2e-5, atol=4e-6)


# Closures, hooks, groups


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned():
    p = parameter(3)
    opt = petrain.torch.SGD([p], lr=0.5)
    before = p.detach().clone()

    def closure():
        opt.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = opt.step(closure)
    assert loss.item() == pytest.approx(before.square().sum().item())
    assert torch.equal(p, torch.zeros(3))
    assert opt.step() is None


def test_hooks():
    p = parameter(2)
    opt = petrain.torch.AdamW([p])
    calls = []
    opt.register_step_pre_hook(lambda o, args, kwargs: calls.append(("pre", o is opt, kwargs)))
    opt.register_step_post_hook(lambda o, args, kwargs: calls.append(("post", o.last_step.skipped, kwargs)))
    handle = torch.optim.optimizer.register_optimizer_step_post_hook(lambda o, a, k: calls.append("global"))
    p.grad = torch.ones(2)
    try:
        opt.step(max_norm=1.0)
    finally:
        handle.remove()
    assert calls == [("pre", True, {"max_norm": 1.0}), ("post", False, {"max_norm": 1.0}), "global"]
    opt.register_step_pre_hook(lambda o, args, kwargs: (args, {"zero_grads": True}))
    opt.step()
    assert torch.equal(p.grad, torch.zeros(2))


def test_optimizers_in_the_backward_pass():
    params = [parameter(3, seed=i) for i in range(2)]
    before = [p.detach().clone() for p in params]
    opts = {p: petrain.torch.SGD([p], lr=0.5) for p in params}

    def update(p):
        opts[p].step()
        opts[p].zero_grad()

    for p in params:
        p.register_post_accumulate_grad_hook(update)
    (params[0].sum() + params[1].sum()).backward()
    for p, q in zip(params, before, strict=True):
        assert torch.equal(p, q - 0.5)
        assert p.grad is None


def test_groups_that_come_later():
    courses = []
    for module in BOTH:
        params = [parameter(4, seed=i) for i in range(4)]
        opt = module.AdamW([{"params": params[:1], "lr": 0.1}, {"params": params[1], "weight_decay": 0.5}], lr=0.01)
        for step in range(20):
            set_grad(params, step)
            if step == 7:
                opt.add_param_group({"params": params[2:], "betas": (0.5, 0.9), "amsgrad": True})
            opt.step()
        courses.append(params)
        assert [group["lr"] for group in opt.param_groups] == [0.1, 0.01, 0.01]
        assert [opt.state[p]["step"].item() for p in params] == [20, 20, 13, 13]
    assert_same(*courses)


def test_a_group_that_is_refused_is_not_added():
    p, q = parameter(2), parameter(2)
    opt = petrain.torch.AdamW([p])
    refused = [
        ({"params": [q], "lr": -1.0}, "lr must be at least 0"),
        ({"params": [q, q]}, "more than once"),
        ({"params": [p]}, "more than one parameter group"),
        ({"params": [torch.nn.Parameter(torch.ones(2, device="meta"))]}, "in CPU memory, got one on meta"),
        ({"params": [q], "state_dtype": "int4"}, 'got "int4"'),
        ({"params": [q], "capturable": True}, "capturable=True is not supported"),
    ]
    for group, message in refused:
        with pytest.raises(ValueError, match=message):
            opt.add_param_group(group)
        assert len(opt.param_groups) == 1
    p.grad = torch.ones(2)
    opt.step()


def test_named_parameters():
    model = torch.nn.Linear(2, 2)
    opt = petrain.torch.AdamW(model.named_parameters())
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    model(torch.ones(1, 2)).sum().backward()
    opt.step()
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_hyperparameters_that_change():
    courses = []
    for module in BOTH:
        p = parameter(5)
        opt = module.AdamW([p], lr=torch.tensor(0.1), betas=(torch.tensor(0.9), torch.tensor(0.99)))
        group = opt.param_groups[0]
        for step in range(12):
            set_grad([p], step)
            if step == 3:
                group["lr"].fill_(0.02)
            if step == 5:
                group["lr"] = 0.0
            if step == 6:
                group.update(lr=0.03, betas=(0.5, 0.6))
            if step == 8:
                group["weight_decay"], group["maximize"] = 0.3, True
            opt.step()
        courses.append([p])
    assert_same(*courses)


def test_a_hyperparameter_out_of_range_stops_the_step():
    p = parameter(5)
    opt = petrain.torch.SGD([p], lr=0.1)
    set_grad([p], 0)
    opt.step()
    before = p.detach().clone()
    opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        opt.step()
    assert torch.equal(p, before)
    opt.param_groups[0]["lr"] = 0.0
    opt.step()
    assert torch.equal(p, before)


def test_a_form_of_the_rule_that_changes():
    """SGD keeps a momentum buffer from the first step that has momentum on."""
    courses = []
    for module in BOTH:
        p = parameter(5)
        opt = module.SGD([p], lr=0.1)
        for step in range(12):
            set_grad([p], step)
            opt.param_groups[0]["momentum"] = 0.9 if step in (3, 4, 5, 9, 10) else 0.0
            opt.step()
        courses.append([p])
    assert_same(*courses)


SCHEDULERS = {
    "StepLR": lambda opt: torch.optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.5),
    "CosineAnnealingLR": lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=20),
    "OneCycleLR": lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=25),
    "warm-up from 0": lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(step / 5, 1.0)),
    "ReduceLROnPlateau": lambda opt: torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS.keys())
@pytest.mark.parametrize(("name", "arguments"), [("SGD", {"momentum": 0.9}), ("AdamW", {})])
def test_schedulers(name, arguments, schedule):
    courses = []
    for module in BOTH:
        p = parameter(6)
        opt = getattr(module, name)([p], lr=0.05, **arguments)
        scheduler = schedule(opt)
        rates = set()
        for step in range(20):
            set_grad([p], step)
            opt.step()
            rates.add(opt.param_groups[0]["lr"])
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(1.0)
            else:
                scheduler.step()
        assert len(rates) > 3
        courses.append([p])
    assert_same(*courses)


# Which gradients there are


def test_parameters_without_a_gradient_are_left_alone():
    courses = []
    for module in BOTH:
        params = [parameter(4, seed=i) for i in range(4)]
        params[3].requires_grad_(False)
        opt = module.Adam(params, lr=0.05)
        assert not opt.state
        opt.step()
        for step in range(10):
            set_grad(params[:3], step)
            params[0].grad = None if step % 3 else params[0].grad
            params[1].grad = None if step < 5 else params[1].grad
            opt.step()
        assert [opt.state[p]["step"].item() for p in params[:3]] == [4, 5, 10]
        assert params[3] not in opt.state
        courses.append(params)
    assert_same(*courses)


def test_no_gradient_at_all():
    p = parameter(3)
    opt = petrain.torch.AdamW([p])
    before = p.detach().clone()
    opt.step(max_norm=1.0)
    assert torch.equal(p, before)
    assert (opt.last_step.grad_norm, opt.last_step.skipped) == (0.0, False)
    opt.zero_grad()


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
    params = [parameter(4, seed=i) for i in range(3)]
    opt = petrain.torch.AdamW(params, lr=0.1)
    set_grad(params, 0)
    opt.step()
    before = [p.detach().clone() for p in params]
    state = [{name: value.clone() for name, value in opt.state[p].items()} for p in params]
    set_grad(params, 1)
    params[2].grad[1] = bad
    opt.step(zero_grads=True)
    assert opt.last_step.skipped
    for p, q, kept in zip(params, before, state, strict=True):
        assert torch.equal(p, q)
        assert all(torch.equal(opt.state[p][name], value) for name, value in kept.items())
        assert not p.grad.any()


def test_clip_and_zero_in_one_step():
    ours, theirs = ([parameter(40, 30, seed=i) for i in range(3)] for _ in range(2))
    opt, their_opt = petrain.torch.AdamW(ours, lr=0.05), torch.optim.AdamW(theirs, lr=0.05)
    for step in range(10):
        set_grad(ours, step)
        set_grad(theirs, step)
        norm = torch.nn.utils.clip_grad_norm_(theirs, 2.0)
        torch.nn.utils.clip_grad_value_(theirs, 0.05)
        their_opt.step()
        for p in ours:
            p.grad *= 8
        opt.step(grad_scale=8.0, max_norm=2.0, max_value=0.05, zero_grads=True)
        assert opt.last_step.grad_norm == pytest.approx(norm.item(), rel=1e-5)
        assert not any(p.grad.any() for p in ours)
    assert_same(ours, theirs)


def test_mixed_dtypes():
    params = [parameter(5, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    opt = petrain.torch.AdamW(params, lr=0.5)
    for p in params:
        p.grad = torch.full_like(p, 2.0)
    before = [p.detach().double() for p in params]
    opt.step()
    for p, q in zip(params, before, strict=True):
        torch.testing.assert_close(p.double(), q * (1 - 0.5 * 0.01) - 0.5, rtol=0.01, atol=0.01)
        assert opt.state[p]["exp_avg"].dtype is (torch.float64 if p.dtype is torch.float64 else torch.float32)


# Gradient scaling


def scaled_backward(scaler, p, target):
    scaler.scale((p - target).square().sum()).backward()


@pytest.mark.parametrize("clip", [False, True])
def test_grad_scaler(clip):
    courses = []
    for module in BOTH:
        p = parameter(6)
        opt = module.AdamW([p], lr=0.05)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        for step in range(12):
            opt.zero_grad()
            scaled_backward(scaler, p, 1.0)
            if step == 4:
                p.grad[2] = math.inf
            if clip:
                scaler.unscale_(opt)
                torch.nn.utils.clip_grad_norm_([p], 0.5)
            scaler.step(opt)
            scaler.update()
        assert opt.state[p]["step"].item() == 11
        assert scaler.get_scale() == 1024.0 * 2**3 / 2
        assert not hasattr(opt, "found_inf")
        courses.append([p])
    assert_same(*courses)


def test_grad_scaler_with_the_fused_options():
    p, q = parameter(6), parameter(6)
    opt, plain = petrain.torch.SGD([p], lr=0.5), petrain.torch.SGD([q], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled_backward(scaler, p, 1.0)
    (q - 1.0).square().sum().backward()
    scaler.step(opt, max_norm=1.0, zero_grads=True)
    plain.step(max_norm=1.0)
    assert torch.equal(p, q)
    assert opt.last_step.grad_norm == plain.last_step.grad_norm
    assert not p.grad.any()
    scaler.update()
    before = p.detach().clone()
    p.grad.fill_(math.nan)
    scaler.step(opt, zero_grads=True)
    assert opt.last_step.skipped
    assert torch.equal(p, before)
    assert not p.grad.any()


# Layouts


def conv_weight():
    return torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)


LAYOUTS = {
    "0-d": lambda: torch.tensor(2.0),
    "empty": lambda: torch.ones(0, 3),
    "channels_last": conv_weight,
    "transposed": lambda: torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).t(),
    "every second": lambda: torch.randn(8, 6, generator=torch.Generator().manual_seed(1))[::2, ::3],
    "an offset": lambda: torch.arange(20.0)[3:11],
    "one row": lambda: torch.ones(5, 1).t(),
    "strides of an axis of one": lambda: torch.ones(3).as_strided((3, 1), (1, 7)),
}


@pytest.mark.parametrize("of_gradient", ["as autograd does", "contiguous", "transposed"])
@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts(make, of_gradient):
    courses, storages = [], []
    for module in BOTH:
        p = torch.nn.Parameter(make())
        whole = torch.empty(0).set_(p.untyped_storage())
        around = whole.clone()
        opt = module.AdamW([p], lr=0.1)
        for step in range(5):
            factor = torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
            if of_gradient == "as autograd does":
                opt.zero_grad()
                (p * factor).sum().backward()
            elif of_gradient == "contiguous":
                p.grad = factor
            else:
                p.grad = factor.permute(*range(p.dim())[::-1]).contiguous().permute(*range(p.dim())[::-1])
            opt.step(**({"zero_grads": True} if module is petrain.torch else {}))
        if module is petrain.torch:
            assert not p.grad.any()
        if p.numel():
            assert opt.state[p]["exp_avg"].shape == p.shape
            assert not torch.equal(whole, around)
        courses.append([p])
        storages.append(whole)  # what lies between the elements is left alone
    assert_same(*courses)
    assert_same([storages[0]], [storages[1]])


def test_the_state_of_a_permuted_parameter_is_laid_out_like_it():
    p = torch.nn.Parameter(conv_weight())
    opt = petrain.torch.AdamW([p])
    p.square().sum().backward()
    assert p.grad.stride() == p.stride()
    opt.step()
    assert opt.state[p]["exp_avg"].stride() == p.stride()
    torch.testing.assert_close(opt.state[p]["exp_avg"], 0.1 * p.grad)
    assert not opt._attachment.copies


# Tensors that change between two steps


def replace_data(opt, p):
    p.data = p.detach().clone() * 2


def replace_dtype(opt, p):
    p.data = p.detach().double()


def replace_shape(opt, p):
    p.data = torch.ones(7)
    opt.state.clear()


def share_memory(opt, p):
    p.data.share_memory_()


def share_state(opt, p):
    for value in opt.state[p].values():
        value.share_memory_()


def zero_state_in_place(opt, p):
    for name in ("exp_avg", "exp_avg_sq", "step"):
        opt.state[p][name].zero_()


def replace_state_tensor(opt, p):
    opt.state[p]["exp_avg"] = torch.full_like(p, 3.0)


def replace_state_data(opt, p):
    opt.state[p]["exp_avg"].data = torch.full_like(p, 3.0)


def replace_state_of_a_parameter(opt, p):
    opt.state[p] = {name: value.clone() * 2 for name, value in opt.state[p].items()}


def forget_state_of_a_parameter(opt, p):
    del opt.state[p]


def forget_state(opt, p):
    opt.state.clear()


def replace_state(opt, p):
    opt.state = type(opt.state)(dict, {k: {n: t.clone() for n, t in v.items()} for k, v in opt.state.items()})


def add_to_the_state(opt, p):
    opt.state[p]["note"] = "mine"
    opt.state["note"] = "mine"


def reorder_the_state(opt, p):
    opt.state[p] = opt.state.pop(p)


def drop_the_parameter(opt, p):
    opt.param_groups[0]["params"].remove(p)


def swap_parameters(opt, p):
    opt.param_groups[0]["params"].reverse()


def write_to_the_parameter(opt, p):
    with torch.no_grad():
        p.mul_(0.5)


CHANGES = [value for name, value in globals().items() if name.split("_")[0] in (
    "replace", "share", "zero", "forget", "add", "reorder", "drop", "swap", "write")]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", [0, 2])
def test_tensors_that_change(change, which):
    courses = []
    for module in BOTH:
        params = [parameter(5, seed=i) for i in range(3)]
        opt = module.AdamW(params, lr=0.05)
        for step in range(8):
            set_grad(params, step)
            if step == 4:
                change(opt, params[which])
                set_grad(params, step)
            opt.step()
            assert all(p.grad is not None for p in params)
        courses.append((params, opt))
    (ours, opt), (theirs, their_opt) = courses
    assert_same(ours, theirs)
    for p, q in zip(ours, theirs, strict=True):
        assert [opt.state[p][name].item() for name in ("step",)] == [their_opt.state[q]["step"].item()]
        torch.testing.assert_close(opt.state[p]["exp_avg"], their_opt.state[q]["exp_avg"], rtol=1e-5, atol=1e-6)


def test_autograd_notices_the_update():
    p = parameter(3)
    opt = petrain.torch.SGD([p])
    loss = p.square().sum()
    loss.backward(retain_graph=True)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_without_a_gradient_is_not_marked_as_changed():
    p, q = parameter(3), parameter(3)
    opt = petrain.torch.SGD([p, q])
    set_grad([p, q], 0)
    opt.step()
    q.grad = None
    loss = q.square().sum()
    opt.step()
    loss.backward()


# Refused


REFUSED = {
    "elsewhere": (lambda: torch.ones(3, device="meta"), "parameter 0 of the group: expected a tensor in CPU memory"),
    "sparse": (lambda: torch.eye(3).to_sparse(), "expected a strided tensor, got torch.sparse_coo"),
    "complex": (lambda: torch.ones(3, dtype=torch.complex64), "expected dtype float32, .*, got complex64"),
    "float8": (lambda: torch.ones(3).to(torch.float8_e5m2), "expected dtype float32, .*, got float8_e5m2"),
    "integers": (lambda: torch.ones(3, dtype=torch.int64), "expected dtype float32, .*, got int64"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_parameters_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        petrain.torch.AdamW([make()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1}, "lr must be at least 0, got -0.1"),
        ({"lr": math.nan}, "lr must be finite"),
        ({"lr": torch.ones(2)}, "lr: expected a tensor of one element"),
        ({"betas": (1.0, 0.9)}, r"beta1 must be in \[0, 1\), got 1"),
        ({"betas": (0.9,)}, "betas: expected two numbers"),
        ({"eps": 0.0}, "eps must be greater than 0, got 0"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, got -1"),
        ({"capturable": True}, "capturable=True is not supported by petrain.torch.AdamW"),
        ({"differentiable": True}, "differentiable=True is not supported by petrain.torch.AdamW"),
        ({"state_dtype": "float8"}, 'state_dtype: expected one of float32, bfloat16, int8, got "float8"'),
        ({"rounding": "up"}, 'rounding: expected one of nearest, stochastic, kahan, master, got "up"'),
        ({"rounding": "kahan"}, "only parameters of 16 bits can be rounded other than to the nearest"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        petrain.torch.AdamW([parameter(3)], **arguments)


def test_other_arguments_that_are_refused():
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        petrain.torch.AdamW([parameter(3)], foreach=True, fused=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        petrain.torch.AdamW([parameter(3)], momentum=0.9)
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        petrain.torch.SGD([parameter(3)], nesterov=True)
    with pytest.raises(ValueError, match="empty parameter list"):
        petrain.torch.SGD([])
    with pytest.raises(ValueError, match="non-leaf"):
        petrain.torch.SGD([parameter(3) * 2])
    p = parameter(3)
    with pytest.raises(ValueError, match="more than once in a parameter group"):
        petrain.torch.SGD([p, p])


def test_steps_that_are_refused_change_nothing():
    p = parameter(4, 4)
    opt = petrain.torch.AdamW([p])
    p.grad = torch.ones(4, 4)
    before = p.detach().clone()
    for options, message in [
        ({"max_norm": 0.0}, "max_norm must be greater than 0, got 0"),
        ({"max_value": -1.0}, "max_value must be greater than 0, got -1"),
        ({"grad_scale": math.inf}, "grad_scale must be positive and finite, got inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            opt.step(**options)
    p.grad = p.data
    with pytest.raises(ValueError, match="gradient 0 shares memory with parameter 0"):
        opt.step()
    p.grad = torch.eye(4).to_sparse()
    with pytest.raises(RuntimeError, match="parameter 0: expected a strided gradient"):
        opt.step()
    assert torch.equal(p, before)
    assert opt.state[p]["step"].item() == 0


def test_parameters_that_share_memory_are_refused():
    memory = torch.ones(6)
    params = [torch.nn.Parameter(memory[:4]), torch.nn.Parameter(memory[2:])]
    opt = petrain.torch.SGD(params)
    set_grad(params, 0)
    with pytest.raises(ValueError, match="parameters 0 and 1 share memory"):
        opt.step()
    assert torch.equal(memory, torch.ones(6))
    p = torch.nn.Parameter(torch.ones(3).expand(2, 3))
    p.grad = torch.ones(2, 3)
    with pytest.raises(ValueError, match="parameter 0: expected memory of its own for every element"):
        petrain.torch.SGD([p]).step()


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


# Sparse gradients


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


# What does not show


def test_the_optimizer_is_collected():
    p = parameter(3)
    opt = petrain.torch.AdamW([p])
    p.register_post_accumulate_grad_hook(lambda p: opt.step())
    p.sum().backward()
    assert opt._attachment is not None
    alive = [weakref.ref(p), weakref.ref(opt), weakref.ref(opt._attachment)]
    del p, opt
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_petrain_does_not_import_torch():
    done = run("import sys, petrain; assert 'torch' not in sys.modules and 'petrain.torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_without_torch():
    done = run("import sys; sys.modules['torch'] = None; import petrain.torch")
    assert "ImportError: petrain.torch needs PyTorch: pip install torch" in done.stderr


def test_a_torch_without_the_c_exchange():
    """As before version 2.10: slower, the same."""
    done = run(
        "import torch; del torch.Tensor.__dlpack_c_exchange_api__\n"
        "import petrain.torch\n"
        "p = torch.nn.Parameter(torch.ones(3, 2, 2, 2).to(memory_format=torch.channels_last))\n"
        "opt = petrain.torch.SGD([p], lr=0.5, momentum=0.9)\n"
        "for _ in range(3):\n"
        "    p.grad = torch.ones(3, 2, 2, 2)\n"
        "    opt.step()\n"
        "print(p.sum().item(), opt.last_step)"
    )
    want = 24 * (1 - 0.5 * (1 + 1.9 + 2.71))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) == pytest.approx(want, rel=1e-6)
