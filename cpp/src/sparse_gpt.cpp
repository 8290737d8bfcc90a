// As gptq.cpp has it, with H = R Rᵀ, R upper triangular: given the errors e of the columns before j, the best value of
// weight j is w[j] + Σ e[i] R[i][j] / R[j][j]. A weight that stays takes that value, one that goes takes 0.
#include <algorithm>
#include <cmath>
#include <utility>

#include "checks.hpp"
#include "chunks.hpp"
#include "column_walk.hpp"
#include "keep_greatest.hpp"
#include "petrain/prune.hpp"

namespace petrain {
namespace {

class SparseGpt {
 public:
  struct Own {
    ColumnWalk walk;
    RowBlock masked, scratch;
    std::vector<float> values, scores;
  };

  // With a mask, options say nothing but the damping.
  SparseGpt(const ConstTensorView& w, const Panels& h, const SparseGptOptions& options, const ConstTensorView* mask)
      : w_(w.as<float>()),
        n_(w.shape[0]),
        k_(w.shape[1]),
        stride_(h.padded()),
        options_(options),
        choose_(mask == nullptr),
        h_(h),
        r_(h),
        before_(n_),
        after_(n_) {
    factorize_upper(r_, options.damping);
    result_.w = Tensor::uninitialized(DType::f32, w.shape);
    result_.mask = Tensor::uninitialized(DType::u8, w.shape);
    if (mask != nullptr) std::copy_n(mask->as<std::uint8_t>(), n_ * k_, result_.mask.as<std::uint8_t>());
  }

  Pruned run() {
    for_each_row_block(
        n_,
        [&] {
          return Own{ColumnWalk(h_), row_block(h_), row_block(h_), std::vector<float>(kWeightRows * k_),
                     std::vector<float>(kWalkColumns)};
        },
        [&](std::int64_t first, std::int64_t rows, Own& own) { prune_rows(first, rows, own); });
    const std::vector<double> squares = row_squares(h_, w_, n_);
    for (std::int64_t i = 0; i < n_; ++i) {
      if (after_[i] < before_[i]) continue;
      after_[i] = before_[i];
      ++result_.kept;
    }
    result_.before = relative_error(std::move(before_), squares);
    result_.after = relative_error(std::move(after_), squares);
    return std::move(result_);
  }

 private:
  double weight(std::int64_t i, std::int64_t j) const { return static_cast<double>(w_[i * k_ + j]); }
  std::uint8_t* mask(std::int64_t i) { return result_.mask.as<std::uint8_t>() + i * k_; }

  void prune_rows(std::int64_t first, std::int64_t rows, Own& own) {
    own.walk.run(r_, rows,
                 [&](std::int64_t i, std::int64_t begin, std::int64_t end) { prune_block(first, i, begin, end, own); });
    finish_rows(first, rows, own);
  }

  void prune_block(std::int64_t first, std::int64_t i, std::int64_t begin, std::int64_t end, Own& own) {
    double* sums = own.walk.sums.data() + i * stride_;
    double* errors = own.walk.errors.data() + i * stride_;
    const std::int64_t group = options_.pool == 0 ? end - begin : options_.pool;
    for (std::int64_t j = begin; j < end; ++j) {
      if (choose_ && (j - begin) % group == 0) choose(first + i, j, std::min(group, end - j), begin, sums, own);
      const double* r = own.walk.diagonal.data() + (j - begin) * kWalkColumns;  // r[l - begin]: R[j][l]
      const double w = weight(first + i, j);
      const float value = mask(first + i)[j] != 0 ? to_float(w + sums[j] / r[j - begin]) : 0.0F;
      own.values[i * k_ + j] = value;
      errors[j] = w - static_cast<double>(value);
      for (std::int64_t l = j + 1; l < end; ++l) sums[l] += errors[j] * r[l - begin];
    }
  }

  // For `group` columns from j on: by the weights with the adjustment that is best while none of these is pruned,
  // w + y with y R = sums, R here the group's block on the diagonal. Pruning one costs ((w + y) R[j][j])² at least.
  void choose(std::int64_t row, std::int64_t j, std::int64_t group, std::int64_t begin, const double* sums, Own& own) {
    const double* r = own.walk.diagonal.data() + (j - begin) * (kWalkColumns + 1);
    double* y = own.scratch.data();
    solve_upper(r, kWalkColumns, sums + j, group, y);
    double most = 0;
    for (std::int64_t l = 0; l < group; ++l) {
      const bool dead = h_.at(j + l, j + l) == 0;  // an input that was always 0
      y[l] = dead ? 0 : std::abs((weight(row, j + l) + y[l]) * r[l * (kWalkColumns + 1)]);
      most = std::max(most, y[l]);
    }
    for (std::int64_t l = 0; l < group; ++l) own.scores[l] = most > 0 ? to_float(y[l] / most) : 0;
    std::int64_t keep = options_.keep;
    if (options_.pool == 0) keep = options_.keep * (j + group) / k_ - options_.keep * j / k_;
    keep_in_pool(own.scores.data(), group, keep, mask(row) + j);
  }

  void finish_rows(std::int64_t first, std::int64_t rows, Own& own) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < k_; ++j) {
        own.masked[i * stride_ + j] = mask(first + i)[j] != 0 ? 0.0 : weight(first + i, j);
      }
    }
    quadratic_forms(h_, own.masked.data(), rows, own.scratch.data(), before_.data() + first);
    quadratic_forms(h_, own.walk.errors.data(), rows, own.scratch.data(), after_.data() + first);
    for (std::int64_t i = 0; i < rows; ++i) {
      float* to = result_.w.as<float>() + (first + i) * k_;
      const bool better = after_[first + i] < before_[first + i];
      for (std::int64_t j = 0; j < k_; ++j) {
        to[j] = better ? own.values[i * k_ + j] : mask(first + i)[j] != 0 ? w_[(first + i) * k_ + j] : 0.0F;
      }
    }
  }

  const float* w_;
  std::int64_t n_, k_, stride_;
  SparseGptOptions options_;
  bool choose_;
  const Panels& h_;
  Panels r_;
  std::vector<double> before_, after_;
  Pruned result_;
};

}  // namespace

Pruned sparse_gpt(const ConstTensorView& w, const HessianObserver& hessian, const SparseGptOptions& options) {
  require_weight(w, hessian);
  require_damping(options.damping);
  const std::int64_t k = w.shape[1], pool = options.pool == 0 ? k : options.pool;
  if (options.pool != 0 && (pool < 1 || k % pool != 0 || kWalkColumns % pool != 0)) {
    throw std::invalid_argument("pool: expected a divisor of " + std::to_string(kWalkColumns) + " and of the " +
                                std::to_string(k) + " inputs, got " + std::to_string(pool));
  }
  if (options.keep < 0 || options.keep > pool) {
    throw std::invalid_argument("keep: expected 0 to " + std::to_string(pool) + ", got " +
                                std::to_string(options.keep));
  }
  const Panels h = HessianAccess::symmetric(hessian);
  return SparseGpt(w, h, options, nullptr).run();
}

Pruned compensate(const ConstTensorView& w, const HessianObserver& hessian, const ConstTensorView& mask,
                  double damping) {
  require_weight(w, hessian);
  require_damping(damping);
  require(mask, DType::u8, w.shape, "mask");
  const Panels h = HessianAccess::symmetric(hessian);
  return SparseGpt(w, h, {0, 0, damping}, &mask).run();
}

}  // namespace petrain
