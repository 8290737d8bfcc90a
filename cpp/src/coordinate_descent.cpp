// With the errors e of a row, g = e H: changing e[j] by d changes e H eᵀ by 2 d g[j] + d² H[j][j], which is least at
// d = -g[j] / H[j][j], and g by d H[j]. The rows of H are added to g for a block of columns at a time.
#include <algorithm>
#include <utility>

#include "checks.hpp"
#include "hessian.hpp"
#include "quantized_rows.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kColumns = 128;

class Descent {
 public:
  struct Own {
    RowBlock errors, gradient, changes, scratch;
    std::vector<double> diagonal;  // H's block
    std::vector<std::int8_t> integers;
  };

  Descent(const ConstTensorView& w, const QuantTensor& q, const Panels& h, const DescentOptions& options)
      : w_(w.as<float>()),
        n_(w.shape[0]),
        k_(w.shape[1]),
        stride_(h.padded()),
        passes_(options.passes),
        h_(h),
        damping_(options.damping * mean_diagonal(h)),
        rows_(q),
        before_(n_),
        after_(n_) {}

  Rounded run() {
    for_each_row_block(
        n_,
        [&] {
          return Own{row_block(h_),
                     row_block(h_),
                     row_block(h_),
                     row_block(h_),
                     std::vector<double>(kColumns * kColumns),
                     std::vector<std::int8_t>(kWeightRows * k_)};
        },
        [&](std::int64_t first, std::int64_t rows, Own& own) { descend(first, rows, own); });
    return rounded(std::move(rows_), std::move(before_), std::move(after_), h_, w_);
  }

 private:
  void descend(std::int64_t first, std::int64_t rows, Own& own) {
    for (std::int64_t i = 0; i < rows; ++i) {
      std::copy_n(rows_.row(first + i), k_, own.integers.data() + i * k_);
      for (std::int64_t j = 0; j < k_; ++j) {
        const float number = QuantizedRows::number(own.integers[i * k_ + j], params(first + i, j));
        own.errors[i * stride_ + j] = weight(first + i, j) - static_cast<double>(number);
      }
    }
    quadratic_forms(h_, own.errors.data(), rows, own.scratch.data(), before_.data() + first);
    std::fill(own.gradient.begin(), own.gradient.end(), 0.0);
    add_product(own.errors.data(), rows, 0, k_, h_, 0, h_.count, own.gradient.data(), stride_);
    for (int pass = 0; pass < passes_; ++pass) {
      bool changed = false;
      for (std::int64_t begin = 0; begin < k_; begin += kColumns) changed |= visit(first, rows, begin, own);
      if (!changed) break;
    }
    quadratic_forms(h_, own.errors.data(), rows, own.scratch.data(), after_.data() + first);
    for (std::int64_t i = 0; i < rows; ++i) {
      if (after_[first + i] < before_[first + i]) {
        std::copy_n(own.integers.data() + i * k_, k_, rows_.row(first + i));
      }
    }
  }

  // Whether anything changed.
  bool visit(std::int64_t first, std::int64_t rows, std::int64_t begin, Own& own) {
    const std::int64_t end = std::min(begin + kColumns, k_);
    for (std::int64_t j = begin; j < end; ++j) {
      for (std::int64_t l = begin; l < end; ++l) own.diagonal[(j - begin) * kColumns + l - begin] = h_.at(j, l);
    }
    bool changed = false;
    for (std::int64_t i = 0; i < rows; ++i) {
      std::fill_n(own.changes.data() + i * stride_ + begin, end - begin, 0.0);
      for (std::int64_t j = begin; j < end; ++j) changed |= move(first, i, j, begin, end, own);
    }
    if (!changed) return false;
    const auto add = [&](std::int64_t from, std::int64_t to) {
      add_product(own.changes.data(), rows, begin, end, h_, from, to, own.gradient.data(), stride_);
    };
    add(0, begin / kPanel);
    add(std::min(h_.count, (begin + kColumns) / kPanel), h_.count);
    return true;
  }

  bool move(std::int64_t first, std::int64_t i, std::int64_t j, std::int64_t begin, std::int64_t end, Own& own) {
    double* gradient = own.gradient.data() + i * stride_;
    double& error = own.errors[i * stride_ + j];
    std::int8_t& q = own.integers[i * k_ + j];
    const double* h = own.diagonal.data() + (j - begin) * kColumns - begin;  // h[l]: H[j][l]
    const double curvature = h[j] + damping_, slope = gradient[j] + damping_ * error;
    if (!(curvature > 0)) return false;  // an input that was always 0
    const QuantParams own_params = params(first + i, j);
    const double target = weight(first + i, j) - error + slope / curvature;
    const std::int8_t moved = rows_.nearest(target, own_params);
    if (moved == q) return false;
    const double new_error = weight(first + i, j) - static_cast<double>(QuantizedRows::number(moved, own_params));
    const double change = new_error - error;
    if (!(change * (2 * slope + change * curvature) < 0)) return false;
    q = moved;
    error = new_error;
    own.changes[i * stride_ + j] = change;
    for (std::int64_t l = begin; l < end; ++l) gradient[l] += change * h[l];
    return true;
  }

  double weight(std::int64_t i, std::int64_t j) const { return w_[i * k_ + j]; }
  QuantParams params(std::int64_t i, std::int64_t j) const { return rows_.params(i, j / rows_.group()); }

  const float* w_;
  std::int64_t n_, k_, stride_;
  int passes_;
  const Panels& h_;
  double damping_;
  QuantizedRows rows_;
  std::vector<double> before_, after_;
};

}  // namespace

Rounded round_coordinate_descent(const ConstTensorView& w, const QuantTensor& q, const HessianObserver& hessian,
                                 const DescentOptions& options) {
  require_weight(w, hessian);
  require_damping(options.damping);
  if (options.passes < 1) {
    throw std::invalid_argument("passes: expected at least 1, got " + std::to_string(options.passes));
  }
  q.validate();
  if (q.shape != w.shape) {
    throw std::invalid_argument("q: expected shape " + shape_text(w.shape) + ", got " + shape_text(q.shape));
  }
  require_rows(q.spec);
  const Panels h = HessianAccess::symmetric(hessian);
  return Descent(w, q, h, options).run();
}

}  // namespace petrain
