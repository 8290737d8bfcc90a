// Muon: Jordan et al., Muon: An optimizer for hidden layers in neural networks, kellerjordan.github.io/posts/muon; Liu
// et al., Muon is Scalable for LLM Training, arXiv 2502.16982. In the form of torch.optim.Muon, but with the iteration
// in float32 instead of bfloat16.
#include <cmath>
#include <stdexcept>
#include <utility>

#include "pieces.hpp"
#include "rules.hpp"
#include "src/gemm.hpp"
#include "src/isa.hpp"

namespace petrain::matrix {
namespace {

class Muon : public MatrixRule {
 public:
  std::string name() const override { return "muon"; }

  std::vector<kernels::Hyper> hypers() const override {
    using kernels::Range;
    return {{"lr", 1e-3, Range::positive},   {"weight_decay", 0.1, Range::non_negative},
            {"momentum", 0.95, Range::unit}, {"nesterov", 1, Range::flag},
            {"ns_a", 3.4445, Range::any},    {"ns_b", -4.7750, Range::any},
            {"ns_c", 2.0315, Range::any},    {"eps", 1e-7, Range::positive},
            {"ns_steps", 5, Range::natural}, {"adjust_lr_fn", 0, Range::choice, "original match_rms_adamw"}};
  }

  void check(const Shape& shape, const double*, const std::string& what) const override {
    if (shape.size() == 2) return;
    throw std::invalid_argument(what + ": muon expected a matrix, got shape " + shape_text(shape) +
                                "; put it into a group with the rule \"adamw\"");
  }

  std::vector<StateSpec> states(const Shape& shape, const double*) const override {
    return {{"momentum_buffer", kernels::StateKind::average, shape}};
  }

  void step(const MatrixStep& step) const override {
    const auto mu = static_cast<float>(step.hypers[momentum]), rest = static_cast<float>(1 - step.hypers[momentum]);
    const bool looks_ahead = step.hypers[nesterov] != 0;
    Tensor update = Tensor::uninitialized(DType::f32, step.shape);
    float* x = update.as<float>();
    for_chunks(step.flush, update.size(), [&](std::int64_t, std::int64_t begin, std::int64_t size) {
      read_gradient(step, begin, size, x + begin);
      active_kernels().matrix->momentum({x + begin, state_args(step, 0, kernels::StateKind::average), begin, size, mu,
                                         rest, looks_ahead ? rest : 0, looks_ahead ? mu : 1, state_key(step, 0)});
    });
    update = orthogonalized(step, std::move(update));
    const auto m = static_cast<double>(step.shape[0]), n = static_cast<double>(step.shape[1]);
    const bool matches_adamw = step.hypers[adjust_lr_fn] != 0;
    const double ratio = matches_adamw ? 0.2 * std::sqrt(std::max(m, n)) : std::sqrt(std::max(1.0, m / n));
    write_parameter(step, update, step.hypers[lr] * ratio, step.hypers[lr] * step.hypers[weight_decay]);
  }

 private:
  enum Index : std::uint8_t { lr, weight_decay, momentum, nesterov, ns_a, ns_b, ns_c, eps, ns_steps, adjust_lr_fn };

  // X / ‖X‖, then X = a X + (b A + c A²) X with A = X Xᵀ, which takes every singular value towards 1. Of a tall matrix
  // the same from the right, with the smaller A = XᵀX.
  static Tensor orthogonalized(const MatrixStep& step, Tensor given) {
    const std::int64_t m = step.shape[0], n = step.shape[1], k = std::min(m, n);
    const double* h = step.hypers;
    const double length = std::sqrt(sum_of_squares(given.as<float>(), given.size()));
    Tensor x = Tensor::uninitialized(DType::f32, step.shape);
    scaled_copy(step.flush, given.as<float>(), x.size(), finite_float(1 / std::max(length, h[eps])), x.as<float>());
    Tensor next = std::move(given);
    Tensor gram = Tensor::uninitialized(DType::f32, {k, k}), scaled = Tensor::uninitialized(DType::f32, {k, k});
    Tensor factor = Tensor::uninitialized(DType::f32, {k, k});
    const ConstMatrix a(gram.as<float>(), k, k), b(factor.as<float>(), k, k);
    for (int i = 0; i < static_cast<int>(h[ns_steps]); ++i) {
      const ConstMatrix from(x.as<float>(), m, n), wide = m <= n ? from : from.transposed();
      gemm(wide, wide.transposed(), gram.as<float>(), k);
      scaled_copy(step.flush, a.data, k * k, h[ns_c], scaled.as<float>());
      scaled_copy(step.flush, a.data, k * k, h[ns_b], factor.as<float>());
      gemm(ConstMatrix(scaled.as<float>(), k, k), a, factor.as<float>(), k, true);
      scaled_copy(step.flush, from.data, x.size(), h[ns_a], next.as<float>());
      if (m <= n) {
        gemm(b, from, next.as<float>(), n, true);
      } else {
        gemm(from, b, next.as<float>(), n, true);
      }
      std::swap(x, next);
    }
    return x;
  }
};

}  // namespace

std::shared_ptr<const MatrixRule> make_muon() { return std::make_shared<Muon>(); }

}  // namespace petrain::matrix
