// APOLLO: Zhu et al., SGD-like Memory, AdamW-level Performance, arXiv 2412.05270. The wrapped rule's step on a random
// projection of the gradient says how long the step of each channel, or of the tensor, is to be; its direction is that
// of the gradient itself. The projection is drawn anew from its seed at every step, which takes no memory.
#include <cmath>
#include <limits>

#include "projected.hpp"
#include "rules.hpp"
#include "src/gemm.hpp"
#include "src/isa.hpp"
#include "src/random.hpp"

namespace petrain::matrix {
namespace {

double ratio(double of_direction, double of_gradient) {
  return of_gradient > 0 ? std::sqrt(of_direction / of_gradient) : 0;
}

double total(const std::vector<double>& parts) {
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

class Apollo : public Projected {
 public:
  Apollo(const Rule& base, int base_index) : Projected("apollo_", base, base_index) {}

  std::vector<StateSpec> states(const Shape& shape, const double* hypers) const override {
    return base_states(projection(shape, hypers), hypers);
  }

  void step(const MatrixStep& step) const override {
    const Projection by = projection(step.shape, step.hypers);
    Tensor full = read_gradient(step);
    const Tensor low = project(step, by, full);
    const Tensor direction = low_direction(step, low, 0);
    const double factor = own(step.hypers, scale), length = factor * scale_gradient(step, by, low, direction, full);
    write_parameter(step, full, lr(step.hypers) * factor * limit(step, length), decay(step.hypers));
  }

 protected:
  enum Further : std::uint8_t { scale_type = further, norm_growth };
  enum Number : std::uint8_t { norm, seed };

  double default_rank() const override { return 256; }
  double default_scale() const override { return 1; }
  std::vector<kernels::Hyper> own_hypers() const override {
    return {{"scale_type", 0, kernels::Range::choice, "channel tensor"},
            {"norm_growth", 1.01, kernels::Range::non_negative}};
  }
  // The length of the last update, and what the random projection is drawn from.
  std::vector<kernels::Memory> own_memory() const override { return {{"update_norm", 0}, {"projection_seed", 0}}; }

 private:
  Tensor project(const MatrixStep& step, const Projection& by, const Tensor& gradient) const {
    double& drawn_from = own_numbers(step)[seed];
    const auto gap = static_cast<std::int64_t>(own(step.hypers, update_proj_gap));
    if (drawn_from == 0 || (static_cast<std::int64_t>(step.step) - 1) % gap == 0) {
      drawn_from = static_cast<double>((step.random >> 32) + 1);
    }
    Tensor projector = Tensor::uninitialized(DType::f32, {by.rank, by.projected()});
    const auto seed_now = static_cast<std::uint64_t>(std::fmod(std::fabs(drawn_from), 0x1p53));
    fill_normal(seed_now, 0, 0, 1 / std::sqrt(static_cast<double>(by.rank)), projector.as<float>(), projector.size());
    const ConstMatrix random(projector.as<float>(), by.rank, by.projected());
    const ConstMatrix full(gradient.as<float>(), by.m, by.n);
    Tensor low = Tensor::uninitialized(DType::f32, by.low_shape());
    if (by.left) {
      gemm(random, full, low.as<float>(), by.n);
    } else {
      gemm(full, random.transposed(), low.as<float>(), by.rank);
    }
    return low;
  }

  // Multiplies the gradient with what the rule made of its projection over that projection, for each of the channels
  // along the side that was not projected. Gives the length of the result.
  double scale_gradient(const MatrixStep& step, const Projection& by, const Tensor& low, const Tensor& direction,
                        Tensor& full) const {
    const auto sums = [&](const Tensor& x) {
      const Stack stack{1, by.low_shape()[0], by.low_shape()[1]};
      const SquareSums both = square_sums(
          step.flush, stack, [&](std::int64_t begin, std::int64_t, float*) { return x.as<float>() + begin; });
      return by.left ? both.cols : both.rows;
    };
    const std::vector<double> of_gradient = sums(low), of_direction = sums(direction);
    const bool channelwise = own(step.hypers, scale_type) == 0;
    const double for_all = ratio(total(of_direction), total(of_gradient));
    std::vector<float> channels(by.kept()), ones(by.projected(), 1.0f);
    for (std::size_t i = 0; i < channels.size(); ++i) {
      channels[i] = finite_float(channelwise ? ratio(of_direction[i], of_gradient[i]) : for_all);
    }
    const float* row_factors = (by.left ? ones : channels).data();
    const float* col_factors = (by.left ? channels : ones).data();
    return std::sqrt(sum_chunks(step.flush, full.size(), [&](std::int64_t begin, std::int64_t size) {
      return active_kernels().matrix->scale({full.as<float>() + begin, begin, size, by.m, by.n, row_factors,
                                             col_factors, std::numeric_limits<float>::max()});
    }));
  }

  // The limiter of Chen et al., Fira, arXiv 2410.01623: an update may be longer than the last one by this factor. What
  // came after zeros is not limited.
  double limit(const MatrixStep& step, double length) const {
    double& last = own_numbers(step)[norm];
    const double most = own(step.hypers, norm_growth) * last;
    const double factor = most > 0 && length > most ? most / length : 1;
    if (length > 0) last = length * factor;
    return factor;
  }
};

}  // namespace

std::shared_ptr<const MatrixRule> make_apollo(const Rule& base, int base_index) {
  return std::make_shared<Apollo>(base, base_index);
}

}  // namespace petrain::matrix
