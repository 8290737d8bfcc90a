// GaLore: Zhao et al., Memory-Efficient LLM Training by Gradient Low-Rank Projection, arXiv 2403.03507, in the form of
// its authors' galore_torch. The singular vectors come from the randomized decomposition: of the gradient's leading
// directions it needs no more than their span, to the accuracy of a stochastic gradient.
#include "petrain/lowrank.hpp"
#include "projected.hpp"
#include "rules.hpp"
#include "src/gemm.hpp"

namespace petrain::matrix {
namespace {

constexpr std::int64_t kSmall = 128;  // up to here an exact decomposition costs little
constexpr std::int64_t kIterations = 2;

class GaLore : public Projected {
 public:
  GaLore(const Rule& base, int base_index) : Projected("galore_", base, base_index) {}

  std::vector<StateSpec> states(const Shape& shape, const double* hypers) const override {
    const Projection by = projection(shape, hypers);
    const Shape projector = by.left ? Shape{by.m, by.rank} : Shape{by.rank, by.n};
    std::vector<StateSpec> specs = {{"projector", kernels::StateKind::exact, projector}};
    for (StateSpec& spec : base_states(by, hypers)) specs.push_back(std::move(spec));
    return specs;
  }

  void step(const MatrixStep& step) const override {
    const Projection by = projection(step.shape, step.hypers);
    Tensor full = read_gradient(step);
    refresh(step, by, full);
    const ConstMatrix projector(step.states[0].as<float>(), by.left ? by.m : by.rank, by.left ? by.rank : by.n);
    const ConstMatrix gradient(full.as<float>(), by.m, by.n);
    Tensor low = Tensor::uninitialized(DType::f32, by.low_shape());
    if (by.left) {
      gemm(projector.transposed(), gradient, low.as<float>(), by.n);
    } else {
      gemm(gradient, projector.transposed(), low.as<float>(), by.rank);
    }
    const Tensor stepped = low_direction(step, low, 1);
    const ConstMatrix direction(stepped.as<float>(), by.low_shape()[0], by.low_shape()[1]);
    if (by.left) {
      gemm(projector, direction, full.as<float>(), by.n);
    } else {
      gemm(direction, projector, full.as<float>(), by.n);
    }
    write_parameter(step, full, -lr(step.hypers) * own(step.hypers, scale), decay(step.hypers));
  }

 protected:
  double default_rank() const override { return 128; }
  double default_scale() const override { return 0.25; }
  // The step in which the projector was last computed; 0: not yet.
  std::vector<kernels::Memory> own_memory() const override { return {{"projector_step", 0}}; }

 private:
  // A gradient that is zero in float32 has no directions: the projector waits for one that has.
  void refresh(const MatrixStep& step, const Projection& by, const Tensor& gradient) const {
    double& last = own_numbers(step)[0];
    const bool due = last == 0 || step.step - last >= own(step.hypers, update_proj_gap);
    if (!due || sum_of_squares(gradient.as<float>(), gradient.size()) == 0) return;
    SvdOptions options;
    if (std::min(by.m, by.n) > kSmall) {
      options.method = SvdMethod::randomized;
      options.n_iter = kIterations;
    }
    // Right ones alone would have other signs than beside left ones.
    if (by.left) options.vectors = SvdVectors::left;
    options.seed = static_cast<std::uint64_t>(step.step);
    const Svd parts = svd(gradient.view(), by.rank, options);
    scaled_copy(step.flush, (by.left ? parts.u : parts.vt).as<float>(), step.states[0].size(), 1,
                step.states[0].as<float>());
    last = step.step;
  }
};

}  // namespace

std::shared_ptr<const MatrixRule> make_galore(const Rule& base, int base_index) {
  return std::make_shared<GaLore>(base, base_index);
}

}  // namespace petrain::matrix
