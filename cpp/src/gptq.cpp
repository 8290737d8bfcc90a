// With H = R Rᵀ, R upper triangular, and the errors e of the weights of a row that are rounded already, the best value
// of the next one, j, is w[j] + Σ e[i] R[i][j] / R[j][j]: the same as GPTQ's updates by the Cholesky factor of H⁻¹
// (Chee et al., arXiv 2307.13304, who prove it for LDLQ), but without an inverse.
#include <algorithm>
#include <numeric>
#include <utility>

#include "column_walk.hpp"
#include "quant_spec.hpp"
#include "quantized_rows.hpp"

namespace petrain {
namespace {

std::vector<std::int64_t> column_order(const Panels& h, bool act_order) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(h.size));
  std::iota(order.begin(), order.end(), 0);
  if (act_order) {
    std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return h.at(i, i) > h.at(j, j); });
  }
  return order;
}

Panels permuted(const Panels& h, const std::vector<std::int64_t>& order) {
  Panels result(h.size);
  parallel_for(h.count, [&](std::int64_t p) {
    for (std::int64_t i = 0; i < h.size; ++i) {
      for (std::int64_t j = p * kPanel; j < std::min((p + 1) * kPanel, h.size); ++j) {
        result.at(i, j) = h.at(order[i], order[j]);
      }
    }
  });
  return result;
}

class Gptq {
 public:
  // What a thread works with: errors in the order of rounding and in that of the columns, the row's integers and
  // scales.
  struct Own {
    ColumnWalk walk;
    RowBlock placed, nearest, scratch;
    std::vector<std::int8_t> integers;
    std::vector<QuantParams> params;
  };

  Gptq(const ConstTensorView& w, const QuantSpec& spec, const Panels& h, const GptqOptions& options)
      : w_(w.as<float>()),
        n_(w.shape[0]),
        k_(w.shape[1]),
        stride_(h.padded()),
        spec_(spec),
        h_(h),
        order_(column_order(h, options.act_order)),
        r_(permuted(h, order_)),
        rows_(quantize(w, spec)),
        new_scales_(!options.act_order && spec.granularity == Granularity::group),
        before_(n_),
        after_(n_) {
    factorize_upper(r_, options.damping);
  }

  Rounded run() {
    for_each_row_block(
        n_,
        [&] {
          return Own{ColumnWalk(h_),
                     row_block(h_),
                     row_block(h_),
                     row_block(h_),
                     std::vector<std::int8_t>(kWeightRows * k_),
                     std::vector<QuantParams>(kWeightRows * rows_.groups())};
        },
        [&](std::int64_t first, std::int64_t rows, Own& own) { round_rows(first, rows, own); });
    return rounded(std::move(rows_), std::move(before_), std::move(after_), h_, w_);
  }

 private:
  double weight(std::int64_t i, std::int64_t j) const { return w_[i * k_ + order_[j]]; }

  void round_rows(std::int64_t first, std::int64_t rows, Own& own) {
    const std::int64_t groups = rows_.groups();
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t g = 0; g < groups; ++g) own.params[i * groups + g] = rows_.params(first + i, g);
    }
    own.walk.run(r_, rows,
                 [&](std::int64_t i, std::int64_t begin, std::int64_t end) { round_block(first, i, begin, end, own); });
    keep_better(first, rows, own);
  }

  void round_block(std::int64_t first, std::int64_t i, std::int64_t begin, std::int64_t end, Own& own) {
    double* sums = own.walk.sums.data() + i * stride_;
    double* errors = own.walk.errors.data() + i * stride_;
    for (std::int64_t j = begin; j < end; ++j) {
      if (new_scales_ && j % rows_.group() == 0) set_scale(first, i, j, begin, own);
      const double* r = own.walk.diagonal.data() + (j - begin) * kWalkColumns;  // r[l - begin]: R[j][l]
      const std::int64_t column = order_[j];
      const QuantParams params = own.params[i * rows_.groups() + column / rows_.group()];
      const double w = weight(first + i, j);
      const std::int8_t q = rows_.nearest(w + sums[j] / r[j - begin], params);
      own.integers[i * k_ + column] = q;
      const double error = w - static_cast<double>(QuantizedRows::number(q, params));
      errors[j] = own.placed[i * stride_ + column] = error;
      for (std::int64_t l = j + 1; l < end; ++l) sums[l] += error * r[l - begin];
    }
  }

  // For the group that begins at column j: from its weights with the adjustment that is best while none of them is
  // rounded, y with y R = sums, R here the group's block on the diagonal.
  void set_scale(std::int64_t first, std::int64_t i, std::int64_t j, std::int64_t begin, Own& own) {
    const double* r = own.walk.diagonal.data() + (j - begin) * (kWalkColumns + 1);
    double* y = own.scratch.data();
    solve_upper(r, kWalkColumns, own.walk.sums.data() + i * stride_ + j, rows_.group(), y);
    float low = FLT_MAX, high = -FLT_MAX;
    for (std::int64_t l = 0; l < rows_.group(); ++l) {
      const float adjusted = to_float(weight(first + i, j + l) + y[l]);
      low = std::min(low, adjusted);
      high = std::max(high, adjusted);
    }
    own.params[i * rows_.groups() + j / rows_.group()] = range_params(low, high, spec_.bits, spec_.scheme);
  }

  void keep_better(std::int64_t first, std::int64_t rows, Own& own) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int8_t* q = rows_.row(first + i);
      for (std::int64_t j = 0; j < k_; ++j) {
        const float number = QuantizedRows::number(q[j], rows_.params(first + i, j / rows_.group()));
        own.nearest[i * stride_ + j] = static_cast<double>(w_[(first + i) * k_ + j]) - static_cast<double>(number);
      }
    }
    quadratic_forms(h_, own.nearest.data(), rows, own.scratch.data(), before_.data() + first);
    quadratic_forms(h_, own.placed.data(), rows, own.scratch.data(), after_.data() + first);
    for (std::int64_t i = 0; i < rows; ++i) {
      if (!(after_[first + i] < before_[first + i])) continue;
      std::copy_n(own.integers.data() + i * k_, k_, rows_.row(first + i));
      for (std::int64_t g = 0; new_scales_ && g < rows_.groups(); ++g) {
        rows_.set_params(first + i, g, own.params[i * rows_.groups() + g]);
      }
    }
  }

  const float* w_;
  std::int64_t n_, k_, stride_;
  QuantSpec spec_;
  const Panels& h_;
  std::vector<std::int64_t> order_;  // of rounding
  Panels r_;
  QuantizedRows rows_;
  bool new_scales_;
  std::vector<double> before_, after_;
};

}  // namespace

Rounded gptq(const ConstTensorView& w, const HessianObserver& hessian, const QuantSpec& spec,
             const GptqOptions& options) {
  require_weight(w, hessian);
  require_damping(options.damping);
  const QuantSpec checked = checked_spec(spec, w.shape, "w");
  require_rows(checked);
  const Panels h = HessianAccess::symmetric(hessian);
  return Gptq(w, checked, h, options).run();
}

}  // namespace petrain
