// One step: the norm of the gradients, what it says, and the update, in one parallel region.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "checks.hpp"
#include "chunks.hpp"
#include "denormals.hpp"
#include "isa.hpp"
#include "optimizer_work.hpp"
#include "petrain/optim.hpp"
#include "random.hpp"
#include "rule_list.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

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

bool is_by_rows(const StepOptions& options, std::size_t param) {
  return !options.rows.empty() && options.rows[param].data() != nullptr;
}

// Sorted, each once, with where each row's gradient begins in `values`: those of rows that come twice are added up in
// float32 there, in the order in which they came.
struct SortedRows {
  std::vector<std::int64_t> rows, begins;
  Tensor added_up;  // empty where no row comes twice: the gradients are taken as they are
};

SortedRows sort_rows(const ConstTensorView& grad, Rows rows, std::int64_t width) {
  std::vector<std::int64_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return rows[a] < rows[b]; });
  SortedRows sorted;
  for (const std::int64_t k : order) {
    if (!sorted.rows.empty() && sorted.rows.back() == rows[k]) continue;
    sorted.rows.push_back(rows[k]);
    sorted.begins.push_back(k * width);
  }
  if (sorted.rows.size() == rows.size()) return sorted;
  sorted.added_up = Tensor(DType::f32, {static_cast<std::int64_t>(sorted.rows.size()), width});
  std::int64_t target = -1;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool first = i == 0 || rows[order[i]] != rows[order[i - 1]];
    target += first;
    sorted.begins[target] = target * width;
    const std::byte* from = grad.as<std::byte>() + order[i] * width * static_cast<std::int64_t>(dtype_size(grad.dtype));
    active_kernels().optim->accumulate(
        {sorted.added_up.as<float>() + target * width, from, storage_of(grad.dtype), 0, width, 1.0f, first});
  }
  return sorted;
}

// Throws unless the rows are rows of the parameter and the gradient has one for each.
void check_rows(const ConstTensorView& param, const ConstTensorView& grad, Rows rows, const std::string& what) {
  if (param.shape.empty()) throw std::invalid_argument(what + ": a parameter without dimensions has no rows");
  Shape expected = param.shape;
  expected[0] = static_cast<std::int64_t>(rows.size());
  require_float(grad, expected, what);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (rows[k] < 0 || rows[k] >= param.shape[0]) {
      throw std::out_of_range(what + ": row " + std::to_string(k) + ": expected 0 to " +
                              std::to_string(param.shape[0] - 1) + ", got " + std::to_string(rows[k]));
    }
  }
}

}  // namespace

Optimizer::Work Optimizer::prepare(std::span<const ConstTensorView> grads, double scale,
                                   const StepOptions& options) const {
  check_options(options);
  require_count(grads.size(), params_.size(), "gradients");
  if (!options.rows.empty()) require_count(options.rows.size(), params_.size(), "lists of rows");
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
    const bool by_rows = is_by_rows(options, i);
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
  if (options.rows.empty()) return work;
  for (const Chunk& chunk : chunks_) {
    if (!is_by_rows(options, chunk.param)) work.by_rows.push_back(chunk);
  }
  return work;
}

// One chunk for each row.
void Optimizer::add_rows(Work& work, std::size_t index, const ConstTensorView& grad, Rows rows) const {
  const Param& param = params_[index];
  const std::string what = "gradient " + std::to_string(index);
  const std::int64_t width = param.view.shape[0] == 0 ? 0 : param.view.size() / param.view.shape[0];
  if (work.params[index].matrix || rule_list()[work.params[index].rule].trust != nullptr) {
    throw std::invalid_argument(what + ": a rule that looks at the tensor as a whole needs the whole gradient");
  }
  for (const kernels::State& state : rule_list()[work.params[index].rule].states) {
    if (state.kind == kernels::StateKind::exact) {  // rows that come later would start from a state of zero
      throw std::invalid_argument(what + ": a rule whose " + state.name +
                                  " starts as a copy of the parameter needs the whole gradient");
    }
  }
  for (const Tensor& state : param.states) {
    if (dtype_size(state.dtype()) == 1 && width % kCodesPerScale != 0) {
      throw std::invalid_argument(what + ": rows with states in 8-bit codes need a multiple of " +
                                  std::to_string(kCodesPerScale) + " elements, got " + std::to_string(width));
    }
  }
  SortedRows sorted = sort_rows(grad, rows, width);
  if (!sorted.added_up.empty()) {
    work.params[index].args.grad = sorted.added_up.as<float>();
    work.params[index].args.grad_storage = kernels::Storage::f32;
    work.added_up.push_back(std::move(sorted.added_up));  // its memory stays where it is
  }
  for (std::size_t k = 0; k < sorted.rows.size() && width > 0; ++k) {
    work.by_rows.push_back({index, sorted.rows[k] * width, width, sorted.begins[k]});
  }
}

StepInfo Optimizer::step(std::span<const ConstTensorView> grads, const StepOptions& options) {
  return step_scaled(grads, 1, options);
}

StepInfo Optimizer::step(GradAccumulator& accumulated, const StepOptions& options) {
  if (accumulated.count() == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  if (!options.rows.empty()) throw std::invalid_argument("expected no rows with an accumulator");
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
  const std::vector<Chunk>& chunks = options.rows.empty() ? chunks_ : work.by_rows;
  const auto count = static_cast<std::int64_t>(chunks.size());
  std::vector<double> squares(chunks.size());
  std::vector<kernels::LayerSums> sums(work.layerwise ? chunks.size() : 0);
  StepInfo info;
  double clip = 1;

  const auto args_of = [&](const Chunk& chunk) {
    kernels::StepArgs args = work.params[chunk.param].args;
    args.begin = chunk.begin;
    args.size = chunk.size;
    args.grad_begin = chunk.grad_begin;
    args.grad_scale *= clip;
    return args;
  };
  // Whether a gradient that is finite may not be so in the float32 that its rule computes in: one in float64, or one
  // that is multiplied with more than 1. In doubt (the norm of a chunk is out of range, not its greatest entry) it is.
  // Without chunks of either kind their norm is negative.
  const auto overflows = [&](double wide, double narrow) {
    const double factor = std::max(scale * clip, 1.0), most = std::numeric_limits<float>::max();
    if (std::max(wide, narrow) < 0) return false;
    return factor > most || wide * factor > most || (factor > 1 && narrow * factor > most);
  };
  const auto judge = [&] {
    if (work.matrices) take_matrix_norms(work, chunks, squares);
    double wide = -1, narrow = -1;  // greatest norms of chunks of gradients in float64 and in fewer bits
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const Work::PerParam& own = work.params[chunks[i].param];
      if (!own.present || own.precision == 1 || own.matrix) continue;
      double& norm = own.args.grad_storage == kernels::Storage::f64 ? wide : narrow;
      norm = std::max(norm, std::sqrt(squares[i]));
    }
    info.grad_norm = std::sqrt(tree_sum(squares)) * scale;
    info.skipped = !std::isfinite(info.grad_norm);
    if (info.grad_norm > options.max_norm) clip = std::min(options.max_norm / (info.grad_norm + 1e-6), 1.0);
    if (overflows(wide, narrow)) info.skipped = true;
    for (const Work::PerParam& own : work.params) {
      if (own.matrix && own.norm * scale * clip > kMostNorm) info.skipped = true;
    }
  };
  const auto set_trust = [&] {
    for (std::size_t i = 0, first = 0; first < chunks.size(); first = i) {
      const std::size_t param = chunks[first].param;
      std::vector<double> of_param, of_direction;
      for (i = first; i < chunks.size() && chunks[i].param == param; ++i) {
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

  // Where the gradients are so large that the factor itself is a denormal, it must not be taken for zero.
  const auto flushes = [&] { return std::abs(scale * clip) >= std::numeric_limits<float>::min(); };

  parallel(threads_for(elements_ / kElementsPerThread), [&](const Team& team) {
    const ChunkRange mine = team.share(count);
    const auto for_my_chunks = [&](auto&& body) {
      for (std::int64_t i = mine.begin; i < mine.end; ++i) {
        const Chunk& chunk = chunks[i];
        if (work.params[chunk.param].present) body(i, chunk, work.params[chunk.param]);
      }
    };
    // From the last one, of which the gradients are still in the cache.
    const auto for_my_chunks_back = [&](auto&& body) {
      for (std::int64_t i = mine.end; i-- > mine.begin;) {
        const Chunk& chunk = chunks[i];
        if (work.params[chunk.param].present) body(i, chunk, work.params[chunk.param]);
      }
    };
    for_my_chunks([&](std::int64_t i, const Chunk& chunk, const Work::PerParam& own) {
      squares[i] = kernels.reduce->sum_of_squares(own.args.grad, own.args.grad_storage, chunk.grad_begin, chunk.size);
    });
    team.barrier();
    if (team.rank == 0) judge();
    team.barrier();
    const FlushDenormals flush(flushes());
    if (work.layerwise && !info.skipped) {
      for_my_chunks([&](std::int64_t i, const Chunk& chunk, const Work::PerParam& own) {
        if (own.matrix) return;
        const auto direct = kernels.optim->direct[own.rule][own.precision];
        if (direct != nullptr) sums[i] = direct(args_of(chunk));
      });
      team.barrier();
      if (team.rank == 0) set_trust();
      team.barrier();
    }
    for_my_chunks_back([&](std::int64_t, const Chunk& chunk, const Work::PerParam& own) {
      if (!info.skipped && own.matrix) return;
      if (!info.skipped) kernels.optim->step[own.rule][own.precision](args_of(chunk));
      if (options.zero_grads && !is_by_rows(options, chunk.param)) {
        const std::size_t element = dtype_size(grads[chunk.param].dtype);
        auto* grad = static_cast<std::byte*>(const_cast<void*>(own.args.grad));
        std::memset(grad + static_cast<std::size_t>(chunk.begin) * element, 0,
                    static_cast<std::size_t>(chunk.size) * element);
      }
    });
  });
  for (std::size_t i = 0; options.zero_grads && i < grads.size(); ++i) {
    if (is_by_rows(options, i) && grads[i].size() > 0) {
      std::memset(const_cast<void*>(grads[i].data), 0,
                  static_cast<std::size_t>(grads[i].size()) * dtype_size(grads[i].dtype));
    }
  }
  if (info.skipped) return info;
  if (work.matrices) step_matrices(work, clip, flushes(), options.zero_grads);
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!work.params[i].present) continue;
    ++params_[i].steps;
    params_[i].memory = work.params[i].memory;
  }
  return info;
}

}  // namespace petrain
