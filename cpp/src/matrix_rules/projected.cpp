#include "projected.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "src/checks.hpp"
#include "src/isa.hpp"

namespace petrain::matrix {
namespace {

int index_of(const std::vector<kernels::Hyper>& hypers, const std::string& name) {
  const auto found = std::find_if(hypers.begin(), hypers.end(), [&](const auto& hyper) { return hyper.name == name; });
  return found == hypers.end() ? -1 : static_cast<int>(found - hypers.begin());
}

}  // namespace

bool can_be_projected(const Rule& rule) {
  const bool copies = std::any_of(rule.states.begin(), rule.states.end(),
                                  [](const auto& state) { return state.kind == kernels::StateKind::exact; });
  return rule.trust == nullptr && !copies && index_of(rule.hypers, "lr") >= 0;
}

Projected::Projected(std::string prefix, const Rule& base, int base_index)
    : prefix_(std::move(prefix)),
      base_(base),
      base_index_(base_index),
      base_hypers_(base.hypers.size() - 1),
      lr_(index_of(base.hypers, "lr")),
      weight_decay_(index_of(base.hypers, "weight_decay")) {}

std::vector<kernels::Hyper> Projected::hypers() const {
  using kernels::Range;
  std::vector<kernels::Hyper> list(base_.hypers.begin(), base_.hypers.end() - 1);
  list.push_back({"rank", default_rank(), Range::natural, nullptr, true});
  list.push_back({"update_proj_gap", 200, Range::natural});
  list.push_back({"scale", default_scale(), Range::positive});
  list.push_back({"proj_type", 0, Range::choice, kProjTypes, true});
  for (const kernels::Hyper& hyper : own_hypers()) list.push_back(hyper);
  return list;
}

std::vector<kernels::Memory> Projected::memory() const {
  std::vector<kernels::Memory> list = base_.memory;
  for (const kernels::Memory& number : own_memory()) list.push_back(number);
  return list;
}

void Projected::check(const Shape& shape, const double* hypers, const std::string& what) const {
  if (shape.size() != 2) {
    throw std::invalid_argument(what + ": " + name() + " expected a matrix, got shape " + shape_text(shape) +
                                "; put it into a group with the rule \"" + base_.info.name + '"');
  }
  const std::int64_t most = std::min(shape[0], shape[1]);
  if (own(hypers, rank) > static_cast<double>(most)) {
    throw std::invalid_argument(what + ": expected rank to be at most " + std::to_string(most) + " for shape " +
                                shape_text(shape) + ", got " + number_text(own(hypers, rank)));
  }
}

Projection Projected::projection(const Shape& shape, const double* hypers) const {
  const std::int64_t m = shape[0], n = shape[1];
  bool left = m < n;  // the shorter side, so that the states are the smaller
  switch (static_cast<int>(own(hypers, proj_type))) {
    case 1:
      left = !left;
      break;
    case 2:
      left = true;
      break;
    case 3:
      left = false;
      break;
    default:
      break;
  }
  return {left, m, n, static_cast<std::int64_t>(own(hypers, rank))};
}

std::vector<StateSpec> Projected::base_states(const Projection& projection, const double* hypers) const {
  std::vector<StateSpec> specs;
  for (const kernels::State& state : base_.states) {
    specs.push_back({state.name, state.kind, projection.low_shape(), initial_of(state, hypers)});
  }
  return specs;
}

Tensor Projected::low_direction(const MatrixStep& step, const Tensor& low_gradient, std::size_t first_state) const {
  std::vector<double> hypers(step.hypers, step.hypers + base_hypers_);
  hypers.push_back(0);  // maximize: the sign is in the gradient
  hypers[lr_] = 1;
  if (weight_decay_ >= 0) hypers[weight_decay_] = 0;
  const CoefficientBytes coefficients = base_.prepare[0](hypers.data(), step.step, step.memory);
  Tensor result = Tensor::uninitialized(DType::f32, low_gradient.shape());
  kernels::StepArgs all{};
  all.param = result.as<float>();
  all.grad = low_gradient.as<float>();
  for (std::size_t i = 0; i < base_.states.size(); ++i) {
    all.state[i] = state_args(step, first_state + i, base_.states[i].kind);
  }
  all.param_storage = all.grad_storage = kernels::Storage::f32;
  all.grad_scale = 1;
  all.max_value = std::numeric_limits<double>::infinity();
  all.trust = 1;
  all.coefficients = coefficients.bytes;
  all.key = step.args.key;
  for_chunks(step.flush, result.size(), [&](std::int64_t, std::int64_t begin, std::int64_t size) {
    kernels::StepArgs args = all;
    args.begin = args.grad_begin = begin;
    args.size = size;
    std::memset(result.as<float>() + begin, 0, static_cast<std::size_t>(size) * sizeof(float));
    active_kernels().optim->step[base_index_][0](args);
  });
  return result;
}

}  // namespace petrain::matrix
