// One step: the norm of the gradients, what it says, and the update, in one parallel region.
#include <cmath>
#include <cstring>

#include "checks.hpp"
#include "chunks.hpp"
#include "denormals.hpp"
#include "isa.hpp"
#include "petrain/optim.hpp"
#include "random.hpp"
#include "rule_list.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

// Everything about a step that is known before gradients are read.
struct Optimizer::Work {
  struct PerParam {
    kernels::StepArgs args{};
    int rule = 0, precision = 0;  // of the kernel table
    bool present = true;
    std::array<double, 2> memory{};  // after the step
  };
  std::vector<PerParam> params;
  std::vector<CoefficientBytes> coefficients;
  bool layerwise = false;
};

namespace {

void check_options(const StepOptions& options) {
  if (!(options.grad_scale > 0) || !std::isfinite(options.grad_scale)) {
    throw std::invalid_argument("grad_scale must be positive and finite, got " + number_text(options.grad_scale));
  }
  if (!(options.max_norm > 0)) {
    throw std::invalid_argument("max_norm must be greater than 0, got " + number_text(options.max_norm));
  }
  if (!(options.max_value > 0)) {
    throw std::invalid_argument("max_value must be greater than 0, got " + number_text(options.max_value));
  }
}

}  // namespace

Optimizer::Work Optimizer::prepare(std::span<const ConstTensorView> grads, double scale,
                                   const StepOptions& options) const {
  check_options(options);
  require_count(grads.size(), params_.size(), "gradients");
  Work work;
  work.params.resize(params_.size());
  work.coefficients.reserve(params_.size());
  const Param* before = nullptr;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Param& param = params_[i];
    const ConstTensorView& grad = grads[i];
    Work::PerParam& own = work.params[i];
    if (grad.data == nullptr && param.view.size() > 0) {
      if (!options.allow_missing)
        throw std::invalid_argument("gradient " + std::to_string(i) + ": the parameter has no gradient");
      own.present = false;
      continue;
    }
    if (!is_float(grad.dtype) || grad.shape != param.view.shape) {
      require_float(grad, param.view.shape, "gradient " + std::to_string(i));
    }
    check_apart(grad, i);

    const Group& group = groups_[param.group];
    const Rule& rule = rule_list()[group.rule];
    own.rule = group.rule;
    own.precision = param.view.dtype == DType::f64 ? 1 : 0;
    own.memory = param.memory;
    // Parameters of one group that have made the same steps share their coefficients.
    if (before == nullptr || param.group != before->group || param.steps != before->steps ||
        param.memory != before->memory || (param.view.dtype == DType::f64) != (before->view.dtype == DType::f64)) {
      work.coefficients.push_back(
          rule.prepare[own.precision](group.hypers.data(), static_cast<double>(param.steps + 1), own.memory.data()));
    } else {
      own.memory = work.params[static_cast<std::size_t>(before - params_.data())].memory;
    }
    before = &param;
    work.layerwise = work.layerwise || rule.trust != nullptr;

    kernels::StepArgs& args = own.args;
    args.param = param.view.data;
    args.grad = grad.data;
    args.param_storage = storage_of(param.view.dtype);
    args.grad_storage = storage_of(grad.dtype);
    args.rounding = static_cast<kernels::Rounding>(group.rounding);
    args.extra = const_cast<std::byte*>(param.extra.as<std::byte>());
    for (std::size_t s = 0; s < param.states.size(); ++s) {
      args.state[s] = {const_cast<std::byte*>(param.states[s].as<std::byte>()),
                       const_cast<float*>(param.scales[s].as<float>()), storage_of(param.states[s].dtype()),
                       rule.states[s].kind};
    }
    args.grad_scale = group.hypers.back() != 0 ? -scale : scale;  // maximize
    args.max_value = options.max_value;
    args.trust = 1;
    args.coefficients = work.coefficients.back().bytes;  // reserved: it stays where it is
    if (group.rounding == Rounding::stochastic || group.state_dtype) {
      args.key = static_cast<std::uint32_t>(random_bits(seed_, i, static_cast<std::uint64_t>(param.steps)));
    }
  }
  return work;
}

StepInfo Optimizer::step(std::span<const ConstTensorView> grads, const StepOptions& options) {
  return step_scaled(grads, 1, options);
}

StepInfo Optimizer::step(GradAccumulator& accumulated, const StepOptions& options) {
  if (accumulated.count() == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  StepOptions own = options;
  own.zero_grads = false;  // what is added next overwrites the sums
  const StepInfo info = step_scaled(accumulated.views_, 1 / accumulated.weight(), own, accumulated.dtype());
  accumulated.reset();
  return info;
}

// sums_dtype: the gradients are those of an accumulator.
StepInfo Optimizer::step_scaled(std::span<const ConstTensorView> grads, double scale, const StepOptions& options,
                                std::optional<DType> sums_dtype) {
  scale /= options.grad_scale;
  Work work = prepare(grads, scale, options);
  if (sums_dtype) {
    for (Work::PerParam& own : work.params) own.args.grad_storage = sum_storage_of(*sums_dtype);
  }
  const auto& kernels = active_kernels();
  const auto count = static_cast<std::int64_t>(chunks_.size());
  std::vector<double> squares(chunks_.size());
  std::vector<kernels::LayerSums> sums(work.layerwise ? chunks_.size() : 0);
  StepInfo info;
  double clip = 1;

  const auto args_of = [&](const Chunk& chunk) {
    kernels::StepArgs args = work.params[chunk.param].args;
    args.begin = chunk.begin;
    args.size = chunk.size;
    args.grad_scale *= clip;
    return args;
  };
  const auto judge = [&] {
    info.grad_norm = std::sqrt(tree_sum(squares)) * scale;
    info.skipped = !std::isfinite(info.grad_norm);
    if (info.grad_norm > options.max_norm) clip = std::min(options.max_norm / (info.grad_norm + 1e-6), 1.0);
  };
  const auto set_trust = [&] {
    for (std::size_t i = 0, first = 0; first < chunks_.size(); first = i) {
      const std::size_t param = chunks_[first].param;
      std::vector<double> of_param, of_direction;
      for (i = first; i < chunks_.size() && chunks_[i].param == param; ++i) {
        of_param.push_back(sums[i].param);
        of_direction.push_back(sums[i].direction);
      }
      Work::PerParam& own = work.params[param];
      const auto trust = rule_list()[own.rule].trust;
      if (!own.present || trust == nullptr) continue;
      own.args.trust = trust(groups_[params_[param].group].hypers.data(), std::sqrt(tree_sum(of_param)),
                             std::sqrt(tree_sum(of_direction)));
    }
  };

  parallel(threads_for(elements_ / kElementsPerThread), [&](const Team& team) {
    const ChunkRange mine = team.share(count);
    const auto for_my_chunks = [&](auto&& body) {
      for (std::int64_t i = mine.begin; i < mine.end; ++i) {
        const Chunk& chunk = chunks_[i];
        if (work.params[chunk.param].present) body(i, chunk, work.params[chunk.param]);
      }
    };
    for_my_chunks([&](std::int64_t i, const Chunk& chunk, const Work::PerParam& own) {
      squares[i] = kernels.reduce->sum_of_squares(own.args.grad, own.args.grad_storage, chunk.begin, chunk.size);
    });
    team.barrier();
    if (team.rank == 0) judge();
    team.barrier();
    // Where the gradients are so large that the factor itself is a denormal, it must not be taken for zero.
    const FlushDenormals flush(std::abs(scale * clip) >= std::numeric_limits<float>::min());
    if (work.layerwise && !info.skipped) {
      for_my_chunks([&](std::int64_t i, const Chunk& chunk, const Work::PerParam& own) {
        const auto direct = kernels.optim->direct[own.rule][own.precision];
        if (direct != nullptr) sums[i] = direct(args_of(chunk));
      });
      team.barrier();
      if (team.rank == 0) set_trust();
      team.barrier();
    }
    for_my_chunks([&](std::int64_t, const Chunk& chunk, const Work::PerParam& own) {
      if (!info.skipped) kernels.optim->step[own.rule][own.precision](args_of(chunk));
      if (options.zero_grads) {
        const std::size_t element = dtype_size(grads[chunk.param].dtype);
        auto* grad = static_cast<std::byte*>(const_cast<void*>(own.args.grad));
        std::memset(grad + static_cast<std::size_t>(chunk.begin) * element, 0,
                    static_cast<std::size_t>(chunk.size) * element);
      }
    });
  });
  if (info.skipped) return info;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!work.params[i].present) continue;
    ++params_[i].steps;
    params_[i].memory = work.params[i].memory;
  }
  return info;
}

}  // namespace petrain
