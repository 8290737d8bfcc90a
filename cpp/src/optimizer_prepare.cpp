// What is checked and computed before a step reads the gradients.
#include <algorithm>
#include <cmath>
#include <utility>

#include "checks.hpp"
#include "optimizer_work.hpp"
#include "overlap.hpp"
#include "random.hpp"
#include "rule_list.hpp"
#include "storage.hpp"

namespace petrain {

namespace {

void check_options(const StepOptions& options) {
  if (!(options.grad_scale > 0) || !std::isfinite(options.grad_scale)) {
    throw std::invalid_argument("grad_scale must be positive and finite, got " + number_text(options.grad_scale));
  }
  if (!(options.max_norm > 0)) {
    throw std::invalid_argument("max_norm must be greater than 0, got " + number_text(options.max_norm));
  }
  if (!options.check_finite && std::isfinite(options.max_norm)) {
    throw std::invalid_argument("max_norm needs the norm, which is not taken with check_finite = false");
  }
  if (!(options.max_value > 0)) {
    throw std::invalid_argument("max_value must be greater than 0, got " + number_text(options.max_value));
  }
}

}  // namespace

bool is_by_rows(const StepOptions& options, std::size_t param) {
  return !options.rows.empty() && options.rows[param].data() != nullptr;
}

Optimizer::Work Optimizer::prepare(std::span<const ConstTensorView> grads, double scale,
                                   const StepOptions& options) const {
  check_options(options);
  require_count(grads.size(), params_.size(), "gradients");
  if (!options.rows.empty()) require_count(options.rows.size(), params_.size(), "lists of rows");
  Work work;
  work.scale = scale;
  work.params.resize(params_.size());
  work.coefficients.reserve(params_.size());
  const Param* before = nullptr;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Param& param = params_[i];
    const ConstTensorView& grad = grads[i];
    Work::PerParam& own = work.params[i];
    const bool by_rows = is_by_rows(options, i);
    if (grad.data == nullptr && param.view.size() > 0 && !by_rows) {
      if (!options.allow_missing)
        throw std::invalid_argument("gradient " + std::to_string(i) + ": the parameter has no gradient");
      own.present = false;
      continue;
    }
    if (by_rows) {
      check_rows(param.view, grad, options.rows[i], "gradient " + std::to_string(i));
    } else if (!is_float(grad.dtype) || grad.shape != param.view.shape) {
      require_float(grad, param.view.shape, "gradient " + std::to_string(i));
    }
    check_apart(grad, i);

    const Group& group = groups_[param.group];
    const Rule& rule = rule_list()[group.rule];
    own.rule = group.rule;
    own.precision = param.view.dtype == DType::f64 ? 1 : 0;
    own.memory = param.memory;
    // Parameters of one group that have made the same steps share their coefficients.
    if (rule.matrix) {
      own.matrix = work.matrices = true;
    } else if (before == nullptr || param.group != before->group || param.steps != before->steps ||
               param.memory != before->memory ||
               (param.view.dtype == DType::f64) != (before->view.dtype == DType::f64)) {
      work.coefficients.push_back(
          rule.prepare[own.precision](group.hypers.data(), static_cast<double>(param.steps + 1), own.memory.data()));
    } else {
      own.memory = work.params[static_cast<std::size_t>(before - params_.data())].memory;
    }
    if (!rule.matrix) before = &param;
    work.layerwise = work.layerwise || rule.trust != nullptr;

    kernels::StepArgs& args = own.args;
    args.param = param.view.data;
    args.grad = grad.data;
    args.param_storage = storage_of(param.view.dtype);
    args.grad_storage = storage_of(grad.dtype);
    args.rounding = static_cast<kernels::Rounding>(group.rounding);
    args.extra = const_cast<std::byte*>(param.extra.as<std::byte>());
    for (std::size_t s = 0; s < rule.states.size(); ++s) {
      args.state[s] = {const_cast<std::byte*>(param.states[s].as<std::byte>()),
                       const_cast<float*>(param.scales[s].as<float>()), storage_of(param.states[s].dtype()),
                       rule.states[s].kind};
    }
    args.grad_scale = group.hypers.back() != 0 ? -scale : scale;  // maximize
    args.max_value = options.max_value;
    args.trust = 1;
    if (!rule.matrix) args.coefficients = work.coefficients.back().bytes;  // reserved: it stays where it is
    if (group.rounding == Rounding::stochastic || group.state_dtype) {
      args.key = static_cast<std::uint32_t>(random_bits(seed_, i, static_cast<std::uint64_t>(param.steps)));
    }
    if (by_rows) add_rows(work, i, grad, options.rows[i]);
  }
  prepare_fake_quants(work, grads, options);
  work.zeroes_last = options.zero_grads && overlap(grads);
  if (options.rows.empty()) return work;
  for (const Chunk& chunk : chunks_) {
    if (!is_by_rows(options, chunk.param)) work.by_rows.push_back(chunk);
  }
  return work;
}

}  // namespace petrain
