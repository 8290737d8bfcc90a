"""What step does beside the rule: closures, hooks, clipping, gradient scalers, gradients that are not finite."""

import math

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import petrain.torch  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402
from torch_cases import BOTH, assert_same, parameter, set_grads  # noqa: E402


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
    handle = register_optimizer_step_post_hook(lambda o, a, k: calls.append("global"))
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
    set_grads(params, 0)
    opt.step()
    before = [p.detach().clone() for p in params]
    state = [{name: value.clone() for name, value in opt.state[p].items()} for p in params]
    set_grads(params, 1)
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
        set_grads(ours, step)
        set_grads(theirs, step)
        norm = torch.nn.utils.clip_grad_norm_(theirs, 2.0)
        torch.nn.utils.clip_grad_value_(theirs, 0.05)
        their_opt.step()
        for p in ours:
            p.grad *= 8
        opt.step(grad_scale=8.0, max_norm=2.0, max_value=0.05, zero_grads=True)
        assert opt.last_step.grad_norm == pytest.approx(norm.item(), rel=1e-5)
        assert not any(p.grad.any() for p in ours)
    assert_same(ours, theirs)


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
    set_grads([p, q], 0)
    opt.step()
    q.grad = None
    loss = q.square().sum()
    opt.step()
    loss.backward()
