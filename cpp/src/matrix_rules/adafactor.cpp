// Adafactor: Shazeer, Stern, Adaptive Learning Rates with Sublinear Memory Cost, arXiv 1804.04235, in the form of
// torch.optim.Adafactor: of the squares of a matrix only the means of its rows and columns are kept. A tensor of more
// dimensions is a stack of matrices, one of fewer keeps every mean.
#include <cmath>
#include <limits>

#include "kernels/rules.hpp"
#include "pieces.hpp"
#include "rules.hpp"
#include "src/isa.hpp"
#include "src/storage.hpp"

namespace petrain::matrix {
namespace {

Stack stack_of(const Shape& shape) {
  const std::int64_t cols = shape[shape.size() - 1], rows = shape[shape.size() - 2];
  return {element_count(shape) / (rows * cols), rows, cols};
}

Shape with_one(Shape shape, std::size_t from_the_end) {
  shape[shape.size() - from_the_end] = 1;
  return shape;
}

class Adafactor : public MatrixRule {
 public:
  explicit Adafactor(bool with_momentum) : with_momentum_(with_momentum) {}

  std::string name() const override { return with_momentum_ ? "adafactor_momentum" : "adafactor"; }

  std::vector<kernels::Hyper> hypers() const override {
    using kernels::Range;
    std::vector<kernels::Hyper> list = {{"lr", 1e-2, Range::positive},
                                        {"beta2_decay", -0.8, Range::non_positive},
                                        {"eps1", std::numeric_limits<float>::epsilon(), Range::positive},
                                        {"eps2", 1e-3, Range::non_negative},
                                        {"d", 1, Range::positive},
                                        {"weight_decay", 0, Range::non_negative},
                                        {"relative_step", 1, Range::flag},
                                        {"scale_parameter", 1, Range::flag}};
    if (with_momentum_) list.push_back({"momentum", 0.9, Range::unit});
    return list;
  }

  void check(const Shape&, const double*, const std::string&) const override {}  // takes any

  std::vector<StateSpec> states(const Shape& shape, const double*) const override {
    using kernels::StateKind;
    std::vector<StateSpec> specs;
    if (shape.size() < 2) {
      specs.push_back({"variance", StateKind::exact, shape});
    } else {
      specs.push_back({"row_var", StateKind::exact, with_one(shape, 1)});
      specs.push_back({"col_var", StateKind::exact, with_one(shape, 2)});
    }
    if (with_momentum_) specs.push_back({"exp_avg", StateKind::average, shape});
    return specs;
  }

  void step(const MatrixStep& step) const override {
    const double t = step.step, fresh = kernels::real_power(t, step.hypers[beta2_decay]);  // 1 - β₂
    const std::int64_t size = element_count(step.shape);
    const auto elements = static_cast<double>(size);
    double length = step.hypers[lr];
    if (step.hypers[relative_step] != 0) length = std::min(length, 1 / std::sqrt(t));
    if (step.hypers[scale_parameter] != 0) {
      const double square = sum_chunks(step.flush, size, [&](std::int64_t begin, std::int64_t count) {
        return active_kernels().reduce->sum_of_squares(step.args.param, step.args.param_storage, begin, count);
      });
      length *= std::max(step.hypers[eps2], std::sqrt(square / elements));
    }
    if (step.shape.size() < 2) {
      float* v = step.states[0].as<float>();
      const float most = finite_float(1 / step.hypers[eps1]);
      finish(step, length, [=](std::int64_t begin, std::int64_t count, float* x, bool first) {
        const float keep = first ? static_cast<float>(1 - fresh) : 1.0f, add = first ? static_cast<float>(fresh) : 0.0f;
        return active_kernels().matrix->variance({x, v + begin, count, keep, add, most});
      });
    } else {
      factored_step(step, fresh, length);
    }
  }

 private:
  enum Index : std::uint8_t { lr, beta2_decay, eps1, eps2, d, weight_decay, relative_step, scale_parameter, momentum };

  void factored_step(const MatrixStep& step, double fresh, double length) const {
    const Stack stack = stack_of(step.shape);
    const SquareSums sums =
        square_sums(step.flush, stack, [&](std::int64_t begin, std::int64_t size, float* scratch) -> const float* {
          read_gradient(step, begin, size, scratch);
          return scratch;
        });
    update_means(sums.rows, stack.cols, fresh, step.states[0]);
    update_means(sums.cols, stack.rows, fresh, step.states[1]);
    // x / √(r c / mean r), in factors of its row and its column.
    const double least = step.hypers[eps1];
    std::vector<float> row_factors(sums.rows.size()), col_factors(sums.cols.size());
    const float *r = step.states[0].as<float>(), *c = step.states[1].as<float>();
    for (std::int64_t first = 0; first < stack.count * stack.rows; first += stack.rows) {
      double mean = 0;
      for (std::int64_t i = 0; i < stack.rows; ++i) mean += r[first + i];
      mean = std::max(mean / static_cast<double>(stack.rows), least);
      for (std::int64_t i = 0; i < stack.rows; ++i) {
        row_factors[first + i] = finite_float(std::sqrt(mean / r[first + i]));
      }
    }
    for (std::size_t j = 0; j < col_factors.size(); ++j) col_factors[j] = finite_float(1 / std::sqrt(double{c[j]}));
    const float most = finite_float(1 / least);
    finish(step, length, [&](std::int64_t begin, std::int64_t count, float* x, bool) {
      return active_kernels().matrix->scale(
          {x, begin, count, stack.rows, stack.cols, row_factors.data(), col_factors.data(), most});
    });
  }

  static void update_means(const std::vector<double>& sums, std::int64_t count, double fresh, Tensor& means) {
    float* mean = means.as<float>();
    for (std::size_t i = 0; i < sums.size(); ++i) {
      mean[i] = finite_float((1 - fresh) * mean[i] + fresh * (sums[i] / static_cast<double>(count)));
    }
  }

  // normalize(begin, size, x, first) turns gradients into updates and gives the sum of their squares; once to find
  // their root mean square and, since that takes no memory, once more to apply them.
  template <class Normalize>
  void finish(const MatrixStep& step, double length, Normalize&& normalize) const {
    const std::int64_t size = element_count(step.shape);
    const double square = sum_chunks(step.flush, size, [&](std::int64_t begin, std::int64_t count) {
      alignas(64) float x[kChunk];
      read_gradient(step, begin, count, x);
      return normalize(begin, count, x, true);
    });
    const double root_mean_square = std::sqrt(square / static_cast<double>(size));
    const double factor = length / std::max(1.0, root_mean_square / step.hypers[d]);
    const double decay = step.hypers[lr] * step.hypers[weight_decay];
    for_chunks(step.flush, size, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
      alignas(64) float x[kChunk];
      read_gradient(step, begin, count, x);
      normalize(begin, count, x, false);
      if (!with_momentum_) return write_parameter(step, begin, count, x, factor, decay);
      const auto beta = static_cast<float>(step.hypers[momentum]);
      const std::size_t last = step.states.size() - 1;
      active_kernels().matrix->momentum({x, state_args(step, last, kernels::StateKind::average), begin, count, beta,
                                         static_cast<float>((1 - step.hypers[momentum]) * factor), 0, 1,
                                         state_key(step, last)});
      write_parameter(step, begin, count, x, 1, decay);
    });
  }

  bool with_momentum_;
};

}  // namespace

std::shared_ptr<const MatrixRule> make_adafactor(bool with_momentum) {
  return std::make_shared<Adafactor>(with_momentum);
}

}  // namespace petrain::matrix
